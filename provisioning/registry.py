"""What CloudFormation's registry says of a resource type, from the schemas that cfn-lint carries.

They are AWS's own (https://schema.cloudformation.us-east-1.amazonaws.com); moto brings cfn-lint along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def handler_permissions(type_name: str, region: str) -> Mapping[str, tuple[str, ...]]:
    """Return the actions that each handler ("create", "read", ...) of a type calls at most."""
    # Reading the schemas takes a moment, and only one command asks.
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, type_name).schema
    return {
        kind: tuple(handler.get("permissions", ())) for kind, handler in schema.get("handlers", {}).items()
    }
