"""vCPU quotas are looked at before anything is made: what is wanted, what runs, and what is allowed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from artifacts.targets import catalogue
from provisioning.aws.ec2_capacity import Ec2Capacity, RunningRecord
from provisioning.aws.service_quotas import ServiceQuotas
from provisioning.errors import AccessDenied, AwsUnreachable, NotFound
from provisioning.findings import Level
from provisioning.quotas import Wanted, judge_quotas, observe_quotas, quota_of
from tests.provisioning.declared import declare_aws

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provisioning.findings import Finding

INF, STANDARD, STANDARD_SPOT = "L-1945791B", "L-1216C47A", "L-34B43A08"
NOT_THERE = "NoSuchResourceException"


@dataclass
class Machines(Ec2Capacity):
    """Types with four vCPUs an `xlarge`, and what runs."""

    runs: tuple[RunningRecord, ...] = ()
    asked: set[str] = field(default_factory=set)

    def vcpus(self, instance_types: Iterable[str]) -> dict[str, int]:
        self.asked = set(instance_types)
        return dict.fromkeys(self.asked, 4)

    def running(self) -> tuple[RunningRecord, ...]:
        return self.runs


def running(name: str, *, is_spot: bool = False, of: str = "") -> RunningRecord:
    tags = {"amazonei:deployment": of} if of else {}
    return RunningRecord(instance_type=name, is_spot=is_spot, tags=tags)


def quotas(applied: dict[str, float], default: dict[str, float] | None = None) -> ServiceQuotas:
    """Return the edge over botocore's own client, which holds requests and answers to AWS's model."""
    client: Any = boto3.client("service-quotas", region_name="us-west-2")
    stubbed = Stubber(client)
    for code, value in applied.items():
        asked = {"ServiceCode": "ec2", "QuotaCode": code}
        if value >= 0:
            stubbed.add_response("get_service_quota", {"Quota": {"Value": value}}, asked)
        else:
            stubbed.add_client_error("get_service_quota", NOT_THERE, expected_params=asked)
    for code, value in (default or {}).items():
        asked = {"ServiceCode": "ec2", "QuotaCode": code}
        stubbed.add_response("get_aws_default_service_quota", {"Quota": {"Value": value}}, asked)
    stubbed.activate()
    return ServiceQuotas(client)


def findings(
    *wanted: Wanted, applied: dict[str, float], runs: tuple[RunningRecord, ...] = (), **options: Any
) -> list[Finding]:
    aws = declare_aws().aws
    aws.ec2_capacity, aws.service_quotas = Machines(runs), quotas(applied, **options)
    return list(judge_quotas(observe_quotas(aws, wanted, "mine"), "us-west-2"))


def test_a_new_account_that_may_run_no_inferentia_is_told_before_anything_is_made() -> None:
    (found,) = findings(Wanted(instance_type="inf2.xlarge"), applied={INF: 0})
    assert (found.level, found.code) == (Level.ERROR, "quota-too-small")
    assert "4 vCPUs are needed in us-west-2" in found.message
    assert "allows 0 and 0 are in use" in found.message
    assert f"--quota-code {INF} --desired-value 4 --region us-west-2" in found.remedy


@pytest.mark.parametrize(("limit", "blocked"), [(15.0, True), (16.0, False)])
def test_what_others_run_counts_and_what_the_deployment_runs_itself_does_not(
    limit: float, *, blocked: bool
) -> None:
    runs = (
        *(running("m5.xlarge"), running("c7i.xlarge", of="theirs")),
        *(running("c7i.xlarge", of="mine"), running("c7i.xlarge", is_spot=True), running("g6.xlarge")),
    )
    found = findings(Wanted(instance_type="c7i.xlarge", count=2), applied={STANDARD: limit}, runs=runs)
    assert [each.blocks for each in found] == [True] * blocked


def test_types_of_one_kind_count_together_and_spot_apart() -> None:
    wanted = (
        *(Wanted(instance_type="c7i.xlarge"), Wanted(instance_type="m5.xlarge")),
        Wanted(instance_type="t3.xlarge", is_spot=True),
    )
    (found,) = findings(*wanted, applied={STANDARD: 8, STANDARD_SPOT: 3})
    assert "All Standard Spot Instance Requests" in found.message


def test_where_no_value_was_applied_awss_own_one_holds() -> None:
    (found,) = findings(Wanted(instance_type="inf2.xlarge"), applied={INF: -1}, default={INF: 3})
    assert "allows 3" in found.message


def refused(operation: str) -> AccessDenied:
    return AccessDenied(f"{operation} was answered AccessDenied.", operation=operation)


class RefusingMachines(Machines):
    def vcpus(self, instance_types: Iterable[str]) -> dict[str, int]:
        raise refused("ec2:DescribeInstanceTypes")


class RefusingInstances(Machines):
    def running(self) -> tuple[RunningRecord, ...]:
        raise refused("ec2:DescribeInstances")


class RefusingQuotas(ServiceQuotas):
    def applied(self, service: str, code: str) -> float:
        raise refused("servicequotas:GetServiceQuota")


class NoDefaults(ServiceQuotas):
    def applied(self, service: str, code: str) -> float:
        raise NotFound("nothing was applied")

    def default(self, service: str, code: str) -> float:
        raise refused("servicequotas:GetAWSDefaultServiceQuota")


@pytest.mark.parametrize(
    ("machines", "limits", "operation", "what"),
    [
        (RefusingMachines(), RefusingQuotas(None), "ec2:DescribeInstanceTypes", "The vCPU quotas were"),
        (RefusingInstances(), RefusingQuotas(None), "ec2:DescribeInstances", "The vCPU quotas were"),
        (Machines(), RefusingQuotas(None), "servicequotas:GetServiceQuota", "The quota 'Running On-Demand"),
        (Machines(), NoDefaults(None), "servicequotas:GetAWSDefaultServiceQuota", "The quota 'Running On-"),
    ],
)
def test_who_may_not_look_is_warned_and_told_what_to_allow_and_goes_on(
    machines: Machines, limits: ServiceQuotas, operation: str, what: str
) -> None:
    aws = declare_aws().aws
    aws.ec2_capacity, aws.service_quotas = machines, limits
    (found,) = judge_quotas(observe_quotas(aws, [Wanted(instance_type="c7i.xlarge")], "mine"), "us-west-2")
    assert (found.level, found.code) == (Level.WARNING, "quota-unknown")
    assert found.message.startswith(what)
    assert f"not checked: {operation} was answered AccessDenied" in found.message
    assert found.remedy.startswith(f"allow {operation};")


def test_another_error_than_a_refusal_stops_as_it_did() -> None:
    class Unreachable(Machines):
        def vcpus(self, instance_types: Iterable[str]) -> dict[str, int]:
            raise AwsUnreachable("nobody there")

    aws = declare_aws().aws
    aws.ec2_capacity = Unreachable()
    with pytest.raises(AwsUnreachable):
        observe_quotas(aws, [Wanted(instance_type="c7i.xlarge")], "mine")


def test_a_quota_that_aws_does_not_name_there_is_a_warning() -> None:
    class Nameless(ServiceQuotas):
        def applied(self, service: str, code: str) -> float:
            raise NotFound("no such quota")

        default = applied

    aws = declare_aws().aws
    aws.ec2_capacity, aws.service_quotas = Machines(), Nameless(None)
    (found,) = judge_quotas(observe_quotas(aws, [Wanted(instance_type="c7i.xlarge")], "mine"), "us-west-2")
    assert found.message.endswith(f"AWS names no quota {STANDARD} there.")


def test_every_host_of_the_catalogue_counts_against_a_quota() -> None:
    names = {target.instance_type or "m5.xlarge" for target in catalogue().values()}
    assert [name for name in names if quota_of(name, is_spot=False) is None] == []
    assert quota_of("u-6tb1.56xlarge", is_spot=False) is None
