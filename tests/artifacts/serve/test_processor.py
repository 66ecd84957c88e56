from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from artifacts.archive import open_verified
from artifacts.errors import ArtifactRefused
from artifacts.serve.processor import installed_torch, processor_features, refuse_unfit

if TYPE_CHECKING:
    from pathlib import Path

    from artifacts.compile.request import CompileResult
    from artifacts.manifest import Manifest

HOST = frozenset({"avx2", "fma"})


@pytest.fixture(scope="module")
def manifest(two_layers: CompileResult) -> Manifest:
    return open_verified(two_layers.artifact).manifest


def test_a_host_without_an_instruction_set_refuses_and_names_it(manifest: Manifest) -> None:
    needy = dataclasses.replace(manifest, requires=("amx_tile", "avx2", "avx512f"))
    with pytest.raises(ArtifactRefused, match=r"needs amx_tile, avx512f, which this host lacks"):
        refuse_unfit(needy, HOST, "2.13.0")
    refuse_unfit(needy, HOST | {"amx_tile", "avx512f"}, "2.13.0")


def test_machine_code_is_bound_to_the_release_of_torch_and_torchscript_is_not(manifest: Manifest) -> None:
    toolchain = dataclasses.replace(manifest.toolchain, torch="2.13.0+cpu")
    script = dataclasses.replace(manifest, toolchain=toolchain)
    code = dataclasses.replace(script, program="aotinductor")
    refuse_unfit(script, HOST, "2.12.0")
    refuse_unfit(code, HOST, "2.13.0+cu130")
    with pytest.raises(ArtifactRefused, match=r"linked against torch 2\.13\.0\+cpu; this host has 2\.12\.0"):
        refuse_unfit(code, HOST, "2.12.0")


@pytest.mark.parametrize("line", ["flags\t\t: fpu avx2 fma", "Features\t: asimd avx2 fma"])
def test_the_features_are_read_from_linux(line: str, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{line}\n", encoding="ascii")
    assert processor_features(cpuinfo) >= HOST
    assert processor_features(tmp_path / "nowhere") == frozenset()


def test_the_release_of_torch_is_known_without_importing_it() -> None:
    import torch

    assert installed_torch().partition("+")[0] == torch.__version__.partition("+")[0]
