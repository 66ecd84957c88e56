from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from provisioning.emulator import strict
from provisioning.emulator.correction import Correction, EmulatorOutdated, install_all

UNCORRECTED = """
from provisioning.emulator import strict
from provisioning.emulator.correction import moved_anchors
print(*moved_anchors(strict.corrections()), sep="\\n")
"""


def test_every_anchor_is_the_installed_moto() -> None:
    # In a process of its own: in this one other tests may have put the corrections in place.
    answer = subprocess.run([sys.executable, "-c", UNCORRECTED], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""


def test_every_correction_has_a_name_of_its_own_a_statement_and_a_source_at_aws() -> None:
    corrections = strict.corrections()
    assert len({each.name for each in corrections}) == len(corrections)
    assert all(each.statement.endswith(".") for each in corrections)
    assert all(each.source.startswith("https://docs.aws.amazon.com/") for each in corrections)


def test_a_moved_anchor_stops_the_emulator_before_anything_is_installed() -> None:
    installed: list[str] = []
    first, *rest = strict.corrections()
    moved = replace(first, anchors=(replace(first.anchors[0], digest="0" * 16),))
    quiet: list[Correction] = [
        replace(each, install=lambda: installed.append("installed")) for each in (*rest, moved)
    ]
    with pytest.raises(EmulatorOutdated, match=f"{first.name}: {first.anchors[0].path} is"):
        install_all(quiet)
    assert installed == []
