"""IAM: roles, instance profiles and policies, by path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient


@dataclass(frozen=True, slots=True, kw_only=True)
class IamRecord:
    """A role, an instance profile or a policy; IAM lists show no tags, so the path tells whose it is."""

    name: str
    path: str
    arn: str


class Iam:
    """The IAM calls this project makes."""

    def __init__(self, client: IAMClient) -> None:
        self._client = client

    @translated("iam:ListRoles")
    def roles(self, path_prefix: str) -> tuple[IamRecord, ...]:
        """Return the roles under the path."""
        pages = self._client.get_paginator("list_roles").paginate(PathPrefix=path_prefix)
        return tuple(
            IamRecord(name=role["RoleName"], path=role["Path"], arn=role["Arn"])
            for page in pages
            for role in page["Roles"]
        )

    @translated("iam:ListInstanceProfiles")
    def instance_profiles(self, path_prefix: str) -> tuple[IamRecord, ...]:
        """Return the instance profiles under the path."""
        pages = self._client.get_paginator("list_instance_profiles").paginate(PathPrefix=path_prefix)
        return tuple(
            IamRecord(name=profile["InstanceProfileName"], path=profile["Path"], arn=profile["Arn"])
            for page in pages
            for profile in page["InstanceProfiles"]
        )

    @translated("iam:ListPolicies")
    def policies(self, path_prefix: str) -> tuple[IamRecord, ...]:
        """Return the account's own managed policies under the path."""
        pages = self._client.get_paginator("list_policies").paginate(Scope="Local", PathPrefix=path_prefix)
        return tuple(
            IamRecord(name=policy["PolicyName"], path=policy["Path"], arn=policy["Arn"])
            for page in pages
            for policy in page["Policies"]
        )
