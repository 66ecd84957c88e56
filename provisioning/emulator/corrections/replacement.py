"""How a correction puts its own function in the place of moto's."""

from __future__ import annotations

from provisioning.emulator.correction import Anchor

RESPONSES = "moto.cloudformation.responses:CloudFormationResponse"

RESPONSES = "moto.cloudformation.responses:CloudFormationResponse"


def replace(path: str, function: object) -> None:
    """Put `function` where `path` ("package.module:Class.method") points to."""
    owner, name = Anchor(path, "").resolve()
    setattr(owner, name, function)
