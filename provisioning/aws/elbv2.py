"""Elastic Load Balancing: application load balancers, their target groups, and who is in rotation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioning.aws.tags import as_mapping
from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TAGGED_AT_ONCE = 20  # the most ARNs that one DescribeTags takes


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancingRecord:
    """A load balancer or a target group."""

    arn: str
    name: str


class Elbv2:
    """The Elastic Load Balancing calls this project makes."""

    def __init__(self, client: Any) -> None:  # its types are not among those we install
        self._client = client

    @translated("elasticloadbalancing:DescribeLoadBalancers")
    def load_balancers(self) -> tuple[BalancingRecord, ...]:
        """Return the load balancers of the region."""
        pages = self._client.get_paginator("describe_load_balancers").paginate()
        return tuple(
            BalancingRecord(arn=each["LoadBalancerArn"], name=each["LoadBalancerName"])
            for page in pages
            for each in page["LoadBalancers"]
        )

    @translated("elasticloadbalancing:DescribeTargetGroups")
    def target_groups(self) -> tuple[BalancingRecord, ...]:
        """Return the target groups of the region."""
        pages = self._client.get_paginator("describe_target_groups").paginate()
        return tuple(
            BalancingRecord(arn=each["TargetGroupArn"], name=each["TargetGroupName"])
            for page in pages
            for each in page["TargetGroups"]
        )

    @translated("elasticloadbalancing:DescribeTags")
    def tags(self, arns: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the tags of load balancers and target groups, by ARN."""
        found: dict[str, Mapping[str, str]] = {}
        for start in range(0, len(arns), TAGGED_AT_ONCE):
            answer = self._client.describe_tags(ResourceArns=list(arns[start : start + TAGGED_AT_ONCE]))
            found |= {each["ResourceArn"]: as_mapping(each["Tags"]) for each in answer["TagDescriptions"]}
        return found

    @translated("elasticloadbalancing:DescribeTargetHealth")
    def target_health(self, target_group: str) -> Mapping[str, str]:
        """Return the state of each host that is registered ("healthy", "unhealthy", ...), by instance id."""
        answer = self._client.describe_target_health(TargetGroupArn=target_group)
        return {
            each["Target"]["Id"]: each["TargetHealth"]["State"] for each in answer["TargetHealthDescriptions"]
        }

    @translated("elasticloadbalancing:DeleteLoadBalancer")
    def delete_load_balancer(self, arn: str) -> None:
        """Delete a load balancer and its listeners; one that is gone is no error of AWS's."""
        self._client.delete_load_balancer(LoadBalancerArn=arn)

    @translated("elasticloadbalancing:DeleteTargetGroup")
    def delete_target_group(self, arn: str) -> None:
        """Delete a target group; AWS refuses while a listener sends to it."""
        self._client.delete_target_group(TargetGroupArn=arn)
