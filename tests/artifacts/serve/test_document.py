from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from artifacts.serve.document import host_document

if TYPE_CHECKING:
    from pathlib import Path

PARAMETERS = host_document()["parameters"]


def test_every_string_reaches_the_script_as_an_environment_variable() -> None:
    by_variable = {name for name, parameter in PARAMETERS.items() if "interpolationType" in parameter}
    assert by_variable == {"Bucket", "Bundle", "Operation", "Request"}


def test_the_script_is_the_same_whatever_the_parameters() -> None:
    step = host_document()["mainSteps"][0]["inputs"]
    assert not [line for line in step["runCommand"] if "{{" in line]
    assert step["timeoutSeconds"] == "{{ ExecutionTimeout }}"


def test_the_document_fits_into_the_service_limit_of_64_kb() -> None:
    assert len(json.dumps(host_document())) < 64 * 1024


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("hostile", ["", "$(id)", "`id`", "a;b", "a b", "a\nb", "{{ssm:x}}", "'", "é"])
def test_no_parameter_can_carry_shell_text(name: str, hostile: str) -> None:
    assert not re.search(PARAMETERS[name]["allowedPattern"], hostile)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Bucket", "amazonei-artifacts-123456789012"),
        ("Bundle", "0" * 64),
        ("Request", "f" * 64),
        ("Operation", "install"),
        ("Operation", "benchmark"),
        ("ExecutionTimeout", "900"),
    ],
)
def test_the_values_we_send_are_allowed(name: str, value: str) -> None:
    assert re.search(PARAMETERS[name]["allowedPattern"], value)


def test_an_agent_too_old_to_pass_variables_is_named(tmp_path: Path) -> None:
    done = _run_script(tmp_path, {})
    assert done.returncode == 5
    assert "SSM Agent 3.3.2746.0" in done.stderr


def _fetching(directory: Path, aws: str, operation: str) -> subprocess.CompletedProcess[str]:
    """The script's end on a host whose AWS client does this."""
    client = directory / "bin" / "aws"
    client.parent.mkdir()
    client.write_text(f"#!/bin/sh\n{aws}\n", encoding="ascii")
    client.chmod(0o755)
    variables = {
        "PATH": f"{client.parent}:{os.environ['PATH']}",
        "SSM_Bucket": "bucket",
        "SSM_Bundle": "0" * 64,
        "SSM_Operation": operation,
        "SSM_Request": "0" * 64,
    }
    return _run_script(directory, variables)


def test_a_bundle_with_another_digest_is_not_unpacked(tmp_path: Path) -> None:
    done = _fetching(tmp_path, 'for last; do :; done\necho swapped > "$last"', "status")
    assert done.returncode == 4
    assert "does not have the digest" in done.stderr
    assert list((tmp_path / "home" / "bundles").iterdir()) == []


def test_a_bundle_that_is_not_in_the_bucket_is_mended_by_sending_all_again(tmp_path: Path) -> None:
    done = _fetching(tmp_path, "echo NoSuchKey >&2\nexit 254", "install")
    assert done.returncode == 5
    assert "NoSuchKey" in done.stderr
    assert "amazonei ship ARTIFACT --resend" in done.stderr
    assert list((tmp_path / "home" / "bundles").iterdir()) == []


def _run_script(directory: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    script = "\n".join(host_document()["mainSteps"][0]["inputs"]["runCommand"])
    return subprocess.run(
        ["sh", "-c", script],
        env={"PATH": os.environ["PATH"], "AMAZONEI_HOME": str(directory / "home"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
