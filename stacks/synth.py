"""Synthesis: from a spec to the CloudFormation templates, byte for byte as the CDK writes them.

Importing this module is cheap; `synthesize` is the door behind which the CDK and its Node process are.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stacks.node import prepare_node

if TYPE_CHECKING:
    from stacks.spec import DeploymentSpec, HostSpec
    from stacks.template_cache import TemplateCache


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateParameter:
    """A parameter of a template; one without a default must be given to deploy it."""

    name: str
    type: str
    default: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesizedStack:
    """One stack: its template, what it asks for, and the hosts it holds."""

    name: str
    body: str
    digest: str  # SHA-256 of the body, in hex
    parameters: tuple[TemplateParameter, ...]
    hosts: tuple[HostSpec, ...]


def synthesize(spec: DeploymentSpec, cache: TemplateCache | None = None) -> tuple[SynthesizedStack, ...]:
    """Return the stacks of a deployment in the order they are deployed in; a cache saves doing it twice."""
    templates = cache.read(spec) if cache is not None else None
    if templates is None:
        templates = _templates(spec)
        if cache is not None:
            cache.write(spec, templates)
    return tuple(_stack(name, body, spec) for name, body in templates)


def _templates(spec: DeploymentSpec) -> tuple[tuple[str, str], ...]:
    """Return names and bodies of the templates, as the CDK writes them."""
    prepare_node()
    from stacks.deployment import compose, new_app

    with tempfile.TemporaryDirectory(prefix="amazonei-synth-") as directory:
        app = new_app(Path(directory))
        compose(app, spec)
        return tuple(
            (artifact.stack_name, Path(artifact.template_full_path).read_bytes().decode("utf-8"))
            for artifact in app.synth().stacks
        )


def _stack(name: str, body: str, spec: DeploymentSpec) -> SynthesizedStack:
    return SynthesizedStack(
        name=name,
        body=body,
        digest=hashlib.sha256(body.encode()).hexdigest(),
        parameters=_parameters(body),
        hosts=tuple(host for host in spec.hosts if spec.host_stack(host) == name),
    )


def _parameters(body: str) -> tuple[TemplateParameter, ...]:
    declared: dict[str, dict[str, str]] = json.loads(body).get("Parameters", {})
    return tuple(
        TemplateParameter(name=name, type=body["Type"], default=body.get("Default"))
        for name, body in sorted(declared.items())
    )
