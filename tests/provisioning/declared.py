"""An AWS that says what a test declares: stacks, buckets, hosts, and a still clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from provisioning.aws.autoscaling import AutoScaling
from provisioning.aws.budgets import Budgets
from provisioning.aws.connection import Aws
from provisioning.aws.ec2_capacity import Ec2Capacity
from provisioning.aws.ec2_inventory import Ec2Inventory
from provisioning.aws.ec2_network import Ec2Network
from provisioning.aws.elbv2 import Elbv2
from provisioning.aws.iam import Iam
from provisioning.aws.kms import Kms
from provisioning.aws.logs import Logs
from provisioning.aws.sagemaker import SageMaker
from provisioning.aws.scheduler import Scheduler
from provisioning.aws.sqs import Sqs
from provisioning.aws.sts import Sts
from tests.provisioning.declared_buckets import DeclaredS3
from tests.provisioning.declared_hosts import DeclaredEc2, DeclaredSsm
from tests.provisioning.declared_stacks import DeclaredCloudFormation

if TYPE_CHECKING:
    from collections.abc import Callable


class StillClock:
    """A clock that moves only when somebody sleeps; chance always gives the higher number."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        self.on_sleep()

    def uniform(self, low: float, high: float) -> float:
        assert 0 <= low <= high
        return high


class NoPages:
    """The client of a service in which there is nothing, whatever is listed."""

    def get_paginator(self, _call: str) -> NoPages:
        return self

    def paginate(self, **_asked: object) -> tuple[()]:
        return ()

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/tester"}


@dataclass
class DeclaredAws:
    """The bundle the code under test gets, and the doubles behind it."""

    aws: Aws
    cloudformation: DeclaredCloudFormation
    s3: DeclaredS3
    ec2: DeclaredEc2
    ssm: DeclaredSsm


def declare_aws() -> DeclaredAws:
    """Return an empty account in which a test declares stacks, buckets and hosts."""
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing")
    aws = Aws(session, "us-west-2")
    s3, ec2, ssm = DeclaredS3(), DeclaredEc2(), DeclaredSsm()
    cloudformation = DeclaredCloudFormation(s3)
    aws.cloudformation, aws.s3, aws.ec2, aws.ssm = cloudformation, s3, ec2, ssm
    empty: Any = NoPages()
    aws.iam, aws.logs = Iam(empty), Logs(empty)
    aws.ec2_inventory, aws.sagemaker = Ec2Inventory(empty), SageMaker(empty)
    aws.autoscaling, aws.ec2_network = AutoScaling(empty), Ec2Network(empty)
    aws.scheduler, aws.sqs, aws.kms = Scheduler(empty), Sqs(empty), Kms(empty)
    aws.budgets, aws.sts, aws.elbv2 = Budgets(empty), Sts(empty), Elbv2(empty)
    aws.ec2_capacity = Ec2Capacity(empty)
    return DeclaredAws(aws, cloudformation, s3, ec2, ssm)
