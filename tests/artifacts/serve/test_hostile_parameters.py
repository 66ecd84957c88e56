"""Whatever arrives in the document's parameters is data to its script, and most of it never arrives."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from moto.ssm.exceptions import SSMException

from artifacts.serve.document import host_document
from provisioning.emulator.ssm_document import parse

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = "\n".join(host_document()["mainSteps"][0]["inputs"]["runCommand"])
VARIABLES = ("Bucket", "Bundle", "Operation", "Request")
GOOD = {"Bucket": "box", "Bundle": "b" * 64, "Operation": "status", "Request": "a" * 64}
# What would run it, if any of it ever became program text; {0} is the canary.
WRAPPERS = (
    *("; {0};", "&& {0}", "| {0}", "\n{0}\n", "$({0})", "`{0}`", "';{0};'", '";{0};"', "\\\n{0}", "& {0} &"),
    *(
        "${{x:-$({0})}}",
        "$(({0}))",
        "<({0})",
        "{{{{ Bucket }}}};{0}",
        "{{{{ssm:x}}}};{0}",
        "../../{0}",
        "-{0}",
    ),
)
around = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
hostile = st.tuples(around, st.sampled_from(WRAPPERS), around)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host with an `aws` that gives nothing and a Python that does nothing."""
    root = tmp_path_factory.mktemp("hostile")
    (root / "bin").mkdir()
    for name, code in (("aws", 1), ("python", 0)):
        (root / "bin" / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (root / "bin" / name).chmod(0o755)
    (root / "home/bundles" / GOOD["Bundle"]).mkdir(parents=True)  # so that the script gets to its end
    (root / "cwd").mkdir()
    return root


@settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(parts=hostile, variable=st.sampled_from(VARIABLES))
@example(parts=("", "$({0})", ""), variable="Bundle")
def test_no_hostile_parameter_is_executed(host: Path, parts: tuple[str, str, str], variable: str) -> None:
    before, wrapper, after = parts
    canary = host / "canary"
    value = before + wrapper.format(f"touch {canary}") + after
    environment = {
        "PATH": f"{host / 'bin'}:/usr/bin:/bin",
        "AMAZONEI_HOME": str(host / "home"),
        "AMAZONEI_PYTHON": str(host / "bin/python"),
        **{f"SSM_{name}": text for name, text in (GOOD | {variable: value}).items()},
    }
    subprocess.run(["sh", "-c", SCRIPT], env=environment, cwd=host / "cwd", capture_output=True, check=False)
    assert not canary.exists()
    # And the service would not have let it through to the host in the first place.
    document = parse("doc", "1", host_document())
    sent = {name: [text] for name, text in (GOOD | {variable: value}).items()}
    with pytest.raises(SSMException, match="does not match"):
        document.render(sent)


def test_the_harness_sees_what_is_executed(host: Path, tmp_path: Path) -> None:
    """The same harness, with a script that puts a parameter into its text, does make the canary."""
    canary = tmp_path / "canary"
    environment = {"PATH": "/usr/bin:/bin", "SSM_Bucket": f"$(touch {canary})"}
    subprocess.run(["sh", "-c", 'eval "echo $SSM_Bucket"'], env=environment, capture_output=True, check=False)
    assert canary.exists()
