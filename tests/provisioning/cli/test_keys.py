"""Which keys a command takes, and what `verify` says of a signature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.errors import BadRequest
from provisioning.cli.boundary import run
from provisioning.cli.program import program
from provisioning.config import SigningConfig, parse_signing
from provisioning.signing import sign
from tests.artifacts.keys import Pair, make_pair
from tests.artifacts.test_signature import artifact

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AMAZONEI_KEY", raising=False)
    return make_pair(tmp_path)


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    def call(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
        code = run(program, ["verify", str(path), "--output", "json", *options], prog_name="amazonei")
        return code, json.loads(capsys.readouterr().out)

    return call


def test_verify_tells_an_unsigned_a_claimed_and_a_checked_signature_apart(
    pair: Pair, verify: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    path = artifact(tmp_path / "made")
    assert verify(path)[1]["signature"] is None
    code, document = verify(path, "--key", str(pair.pub))
    assert (code, document["error"]["code"]) == (4, "artifact-refused")
    sign(path, pair.private)
    fingerprint = pair.public.fingerprint
    assert verify(path)[1]["signature"] == {"signer": fingerprint, "checked": False}
    code, document = verify(path, "--key", str(pair.pub))
    assert (code, document["signature"]) == (0, {"signer": fingerprint, "checked": True})


def test_a_key_comes_from_the_option_over_the_environment_over_the_file(
    pair: Pair,
    verify: Callable[..., tuple[int, dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stranger, path = make_pair(tmp_path, "stranger"), artifact(tmp_path / "made")
    sign(path, pair.private)
    Path("amazonei.toml").write_text('[signing]\npublic_key = "stranger.pub"\n', encoding="ascii")
    assert verify(path)[0] == 4
    monkeypatch.setenv("AMAZONEI_KEY", str(pair.pub))
    assert verify(path)[0] == 0
    assert verify(path, "--key", str(stranger.pub))[0] == 4


def test_a_private_key_in_the_place_of_the_public_one_is_refused_and_not_shown(
    pair: Pair, verify: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    code, document = verify(artifact(tmp_path / "made"), "--key", str(pair.key))
    assert (code, document["error"]["code"]) == (2, "bad-request")
    assert "private key" in document["error"]["message"]
    assert pair.key.read_text(encoding="ascii").splitlines()[1] not in json.dumps(document)


def test_the_signing_section_names_two_files_and_nothing_else() -> None:
    found = parse_signing({"signing": {"sign_key": "a.key", "public_key": "a.pub"}})
    assert found == SigningConfig(sign_key=Path("a.key"), public_key=Path("a.pub"))
    with pytest.raises(BadRequest, match="Unknown key 'private'"):
        parse_signing({"signing": {"private": "x"}})
