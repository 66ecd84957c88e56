from __future__ import annotations

from typing import Any

import pytest
from moto.ssm.exceptions import SSMException

from provisioning.emulator.ssm_document import RUN_SHELL_SCRIPT, parse


def _content(run: Any, parameters: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    step = {"action": "aws:runShellScript", "name": "one", "inputs": {"runCommand": run, **inputs}}
    return {"schemaVersion": "2.2", "parameters": parameters, "mainSteps": [step]}


def test_placeholders_are_filled_in_once_and_strangers_stay() -> None:
    parameters = {"A": {"type": "String"}, "B": {"type": "String", "default": "b"}}
    document = parse("d", "1", _content(["{{A}}-{{ B }}-{{ C }}", "{{ global:DATE }}"], parameters))
    rendering = document.render({"A": ["{{ B }}"]})
    assert rendering.steps[0].text == "{{ B }}-b-{{ C }}\n{{ global:DATE }}\n"
    assert rendering.environment == {}


def test_a_list_becomes_lines_alone_and_json_inside_a_line() -> None:
    parameters = {"L": {"type": "StringList", "default": ["x", "y"]}}
    document = parse("d", "1", _content(["{{ L }}", "echo '{{ L }}'"], parameters))
    assert document.render({}).steps[0].text == 'x\ny\necho \'["x", "y"]\'\n'


def test_an_env_var_parameter_is_never_text_but_may_be_the_time_limit() -> None:
    parameters = {"T": {"type": "String", "default": "90", "interpolationType": "ENV_VAR"}}
    document = parse("d", "1", _content(["sleep {{ T }}"], parameters, timeoutSeconds="{{ T }}"))
    rendering = document.render({})
    assert rendering.steps[0].text == "sleep {{ T }}\n"
    assert rendering.steps[0].timeout_s == 90.0
    assert rendering.environment == {"SSM_T": "90"}


def test_a_required_parameter_must_be_sent_and_a_string_takes_one_value() -> None:
    document = parse("d", "1", _content(["{{ A }}"], {"A": {"type": "String"}}))
    with pytest.raises(SSMException, match="A is required"):
        document.render({})
    with pytest.raises(SSMException, match="takes one value, got 2"):
        document.render({"A": ["x", "y"]})


@pytest.mark.parametrize(("seconds", "allowed"), [("172800", True), ("172801", False), ("0", False)])
def test_the_shell_document_of_aws_runs_for_at_most_two_days(seconds: str, allowed: bool) -> None:
    document = parse("AWS-RunShellScript", "1", RUN_SHELL_SCRIPT)
    sent = {"commands": ["true"], "executionTimeout": [seconds]}
    if allowed:
        assert document.render(sent).steps[0].timeout_s == float(seconds)
    else:
        with pytest.raises(SSMException, match="does not match"):
            document.render(sent)


def test_steps_for_windows_are_left_out() -> None:
    content = _content(["true"], {})
    windows = {**content["mainSteps"][0], "precondition": {"StringEquals": ["platformType", "Windows"]}}
    content["mainSteps"].insert(0, {**windows, "name": "zero"})
    assert [step.name for step in parse("d", "1", content).render({}).steps] == ["one"]


def test_a_document_with_other_actions_cannot_be_run() -> None:
    content = {"schemaVersion": "2.2", "mainSteps": [{"action": "aws:downloadContent", "name": "one"}]}
    with pytest.raises(SSMException, match="aws:runShellScript only"):
        parse("d", "1", content)
