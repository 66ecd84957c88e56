"""The strict layer: every correction of moto, collected from the module of its service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioning.emulator.corrections import (
    ec2_instances,
    ec2_launch,
    ec2_template_instance,
    images,
    ssm_commands,
    ssm_documents,
)

if TYPE_CHECKING:
    from provisioning.emulator.correction import Correction

_MODULES = (
    ec2_instances,
    ec2_launch,
    ec2_template_instance,
    images,
    ssm_commands,
    ssm_documents,
)


def corrections() -> tuple[Correction, ...]:
    """Return every correction, in the order they are installed."""
    return tuple(correction for module in _MODULES for correction in module.CORRECTIONS)
