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
    from aws_cdk.cx_api import CloudFormationStackArtifact

    from stacks.spec import DeploymentSpec, HostSpec


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


def synthesize(spec: DeploymentSpec) -> tuple[SynthesizedStack, ...]:
    """Return the stacks of a deployment in the order they are deployed in."""
    prepare_node()
    from stacks.deployment import compose, new_app

    with tempfile.TemporaryDirectory(prefix="amazonei-synth-") as directory:
        app = new_app(Path(directory))
        compose(app, spec)
        return tuple(_read(artifact, spec) for artifact in app.synth().stacks)


def _read(artifact: CloudFormationStackArtifact, spec: DeploymentSpec) -> SynthesizedStack:
    content = Path(artifact.template_full_path).read_bytes()
    return SynthesizedStack(
        name=artifact.stack_name,
        body=content.decode("utf-8"),
        digest=hashlib.sha256(content).hexdigest(),
        parameters=_parameters(content),
        hosts=tuple(host for host in spec.hosts if spec.host_stack(host) == artifact.stack_name),
    )


def _parameters(content: bytes) -> tuple[TemplateParameter, ...]:
    declared: dict[str, dict[str, str]] = json.loads(content).get("Parameters", {})
    return tuple(
        TemplateParameter(name=name, type=body["Type"], default=body.get("Default"))
        for name, body in sorted(declared.items())
    )
