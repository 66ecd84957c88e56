from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from stacks.synth import synthesize
from stacks.template_cache import TemplateCache, cache_directory
from tests.stacks.specs import SPECS

if TYPE_CHECKING:
    from pathlib import Path

SPEC = SPECS["cpu"]
TEMPLATES = (("amazonei", '{"Resources": {}}'),)


@pytest.fixture
def cache(tmp_path: Path) -> TemplateCache:
    return TemplateCache(tmp_path / "templates")


def test_a_known_spec_is_answered_without_synthesis(cache: TemplateCache) -> None:
    cache.write(SPEC, TEMPLATES)
    (stack,) = synthesize(SPEC, cache)
    assert (stack.name, stack.body) == TEMPLATES[0], "synthesis would have made something else of it"


def test_what_was_synthesized_is_kept(cache: TemplateCache) -> None:
    assert synthesize(SPEC, cache) == synthesize(SPEC, cache) == synthesize(SPEC)
    assert len(list(cache.directory.iterdir())) == 1


def test_another_spec_is_not_answered_with_this_one(cache: TemplateCache) -> None:
    cache.write(SPEC, TEMPLATES)
    assert cache.read(dataclasses.replace(SPEC, region="eu-west-1")) is None
    assert cache.read(dataclasses.replace(SPEC, guard=True)) is None


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"templates": [["a"]]}', "\x00"])
def test_a_damaged_file_is_as_good_as_none(cache: TemplateCache, damage: str) -> None:
    cache.write(SPEC, TEMPLATES)
    (file,) = cache.directory.iterdir()
    file.write_text(damage, encoding="utf-8")
    assert cache.read(SPEC) is None


def test_a_changed_template_is_not_believed(cache: TemplateCache) -> None:
    cache.write(SPEC, TEMPLATES)
    (file,) = cache.directory.iterdir()
    document = json.loads(file.read_text(encoding="utf-8"))
    document["templates"][0][1] = '{"Resources": {"Open": {}}}'
    file.write_text(json.dumps(document), encoding="utf-8")
    assert cache.read(SPEC) is None


def test_a_directory_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    TemplateCache(tmp_path / "file").write(SPEC, TEMPLATES)


def test_templates_live_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "amazonei" / "templates"
