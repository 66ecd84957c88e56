"""SSM command documents: parsed, checked against the values sent, and rendered to scripts.

Follows https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-syntax-data-elements-parameters.html
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.ssm.exceptions import SSMException

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z0-9_-]+)\s*\}\}")
_DEFAULT_TIMEOUT_S = 3600
_LISTS = frozenset({"StringList", "MapList"})

Value = str | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a document."""

    name: str
    type: str
    default: Value | None
    allowed_values: tuple[str, ...]
    allowed_pattern: str | None
    as_environment: bool  # interpolationType ENV_VAR: the value is data, never text of the script

    def accept(self, sent: Sequence[str] | None) -> Value:
        """Return the parameter's value for what was sent; raises InvalidParameters as SendCommand does."""
        if sent is None:
            if self.default is None:
                raise _invalid(f"Parameter {self.name} is required and has no default value.")
            return self.default
        if self.type not in _LISTS and len(sent) != 1:
            raise _invalid(f"Parameter {self.name} takes one value, got {len(sent)}.")
        for value in sent:
            self._check(value)
        return tuple(sent) if self.type in _LISTS else sent[0]

    def _check(self, value: str) -> None:
        if self.allowed_values and value not in self.allowed_values:
            raise _invalid(f"Parameter {self.name} must be one of {', '.join(self.allowed_values)}.")
        if self.allowed_pattern is not None and not re.fullmatch(self.allowed_pattern, value):
            raise _invalid(f"Parameter {self.name} does not match {self.allowed_pattern}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One aws:runShellScript step, its placeholders filled in."""

    name: str
    text: str
    timeout_s: float
    working_directory: str
    exits_on_failure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What a host is asked to do: the steps and the variables that carry parameters to them."""

    steps: tuple[Step, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDocument:
    """A command document of schema 2.2 or 2.0."""

    name: str
    version: str
    parameters: Mapping[str, Parameter]
    steps: tuple[Mapping[str, Any], ...]

    def render(self, sent: Mapping[str, Sequence[str]]) -> Rendering:
        """Return the steps for these parameter values; raises InvalidParameters when they do not fit."""
        unknown = [name for name in sent if name not in self.parameters]
        if unknown:
            raise _invalid(f"The document {self.name} has no parameter {', '.join(sorted(unknown))}.")
        values = {name: each.accept(sent.get(name)) for name, each in self.parameters.items()}
        environment = {
            f"SSM_{name}": _as_text(values[name])
            for name, each in self.parameters.items()
            if each.as_environment
        }
        texts = {name: value for name, value in values.items() if f"SSM_{name}" not in environment}
        # A numeric input, such as timeoutSeconds, never reaches a shell: any parameter may fill it in.
        return Rendering(
            steps=tuple(_step(step, texts, values) for step in self.steps if _for_linux(step)),
            environment=environment,
        )


def parse(name: str, version: str, content: Mapping[str, Any]) -> CommandDocument:
    """Return the document; raises InvalidDocument when it is not one that a Linux host can run."""
    steps = tuple(content.get("mainSteps", ()))
    actions = {str(step.get("action")) for step in steps}
    if actions != {"aws:runShellScript"}:
        raise SSMException(
            "InvalidDocument", f"The emulator runs aws:runShellScript only; {name} has {sorted(actions)}."
        )
    parameters = {key: _parameter(key, each) for key, each in (content.get("parameters") or {}).items()}
    return CommandDocument(name=name, version=version, parameters=parameters, steps=steps)


# https://docs.aws.amazon.com/systems-manager/latest/userguide/run-command.html
RUN_SHELL_SCRIPT: Mapping[str, Any] = {
    "schemaVersion": "2.2",
    "parameters": {
        "commands": {"type": "StringList"},
        "workingDirectory": {"type": "String", "default": ""},
        "executionTimeout": {
            "type": "String",
            "default": "3600",
            # 1 to 172,800 seconds, which is 48 hours.
            "allowedPattern": "[1-9][0-9]{0,4}|1[0-6][0-9]{4}|17[01][0-9]{3}|172[0-7][0-9]{2}|172800",
        },
    },
    "mainSteps": [
        {
            "action": "aws:runShellScript",
            "name": "0.awsrunShellScript",
            "inputs": {
                "runCommand": "{{ commands }}",
                "workingDirectory": "{{ workingDirectory }}",
                "timeoutSeconds": "{{ executionTimeout }}",
            },
        }
    ],
}


def _parameter(name: str, declared: Mapping[str, Any]) -> Parameter:
    default = declared.get("default")
    if isinstance(default, list):
        default = tuple(str(each) for each in default)
    elif default is not None and not isinstance(default, str):
        default = json.dumps(default)
    return Parameter(
        name=name,
        type=str(declared.get("type", "String")),
        default=default,
        allowed_values=tuple(str(each) for each in declared.get("allowedValues", ())),
        allowed_pattern=declared.get("allowedPattern"),
        as_environment=declared.get("interpolationType") == "ENV_VAR",
    )


def _for_linux(step: Mapping[str, Any]) -> bool:
    wanted = (step.get("precondition") or {}).get("StringEquals", [])
    return "platformType" not in wanted or "Linux" in wanted


def _step(step: Mapping[str, Any], texts: Mapping[str, Value], values: Mapping[str, Value]) -> Step:
    inputs = step["inputs"]
    return Step(
        name=str(step["name"]),
        text="\n".join(_lines(inputs["runCommand"], texts)) + "\n",
        timeout_s=_seconds(_fill(str(inputs.get("timeoutSeconds", _DEFAULT_TIMEOUT_S)), values)),
        working_directory=_fill(str(inputs.get("workingDirectory", "")), values),
        exits_on_failure=step.get("onFailure") in {"exit", "Abort"},
    )


def _lines(run_command: str | Sequence[str], texts: Mapping[str, Value]) -> list[str]:
    """Return the script's lines; a line that is nothing but a list parameter becomes its elements."""
    lines: list[str] = []
    for line in [run_command] if isinstance(run_command, str) else run_command:
        whole = _PLACEHOLDER.fullmatch(line.strip())
        value = texts.get(whole[1]) if whole else None
        lines += list(value) if isinstance(value, tuple) else [_fill(line, texts)]
    return lines


def _fill(text: str, values: Mapping[str, Value]) -> str:
    """Return the text with the placeholders of known parameters replaced, in one pass."""
    return _PLACEHOLDER.sub(
        lambda match: _as_text(values[match[1]]) if match[1] in values else match[0], text
    )


def _as_text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(list(value))


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _invalid(f"timeoutSeconds is {text!r}, not a number of seconds.") from None


def _invalid(message: str) -> SSMException:
    return SSMException("InvalidParameters", message)
