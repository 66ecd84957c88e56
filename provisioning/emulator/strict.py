"""The strict layer: every correction of moto, collected from the module of its service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioning.emulator.corrections import (
    ec2_instances,
    ec2_launch,
    ec2_template_instance,
    group_refresh,
    host_groups,
    images,
    network_dependencies,
    object_digests,
    policy_conditions,
    quotas,
    resources_balancing,
    resources_bucket,
    resources_guard,
    resources_identity,
    resources_network,
    resources_operations,
    resources_sagemaker,
    resources_scaling,
    resources_security,
    sagemaker_endpoints,
    sagemaker_instances,
    ssm_commands,
    ssm_documents,
    stack_change_sets,
    stack_creation,
    stack_deletion,
    stack_ledger,
    stack_requests,
    stack_update,
    target_health,
    template_functions,
    template_parameters,
    template_validation,
    vpc_endpoints,
)

if TYPE_CHECKING:
    from provisioning.emulator.correction import Correction

_MODULES = (
    ec2_instances,
    ec2_launch,
    ec2_template_instance,
    group_refresh,
    host_groups,
    images,
    network_dependencies,
    object_digests,
    policy_conditions,
    quotas,
    resources_balancing,
    resources_bucket,
    resources_guard,
    resources_identity,
    resources_network,
    resources_operations,
    resources_sagemaker,
    resources_scaling,
    resources_security,
    sagemaker_endpoints,
    sagemaker_instances,
    ssm_commands,
    ssm_documents,
    stack_change_sets,
    stack_creation,
    stack_deletion,
    stack_ledger,
    stack_requests,
    stack_update,
    target_health,
    template_functions,
    template_parameters,
    template_validation,
    vpc_endpoints,
)


def corrections() -> tuple[Correction, ...]:
    """Return every correction, in the order they are installed."""
    return tuple(correction for module in _MODULES for correction in module.CORRECTIONS)
