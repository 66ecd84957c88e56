"""One session, one region, and a client per service that is made when it is first asked for."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.session import Session as BotocoreSession

from provisioning.aws.acm import Acm
from provisioning.aws.autoscaling import AutoScaling
from provisioning.aws.budgets import Budgets
from provisioning.aws.cloudformation import CloudFormation
from provisioning.aws.ec2 import Ec2
from provisioning.aws.ec2_capacity import Ec2Capacity
from provisioning.aws.ec2_inventory import Ec2Inventory
from provisioning.aws.ec2_network import Ec2Network
from provisioning.aws.elbv2 import Elbv2
from provisioning.aws.iam import Iam
from provisioning.aws.kms import Kms
from provisioning.aws.logs import Logs
from provisioning.aws.s3 import S3
from provisioning.aws.sagemaker import SageMaker
from provisioning.aws.sagemaker_runtime import SageMakerRuntime
from provisioning.aws.scheduler import Scheduler
from provisioning.aws.service_quotas import ServiceQuotas
from provisioning.aws.sqs import Sqs
from provisioning.aws.ssm import Ssm
from provisioning.aws.sts import Sts
from provisioning.aws.translation import translated
from provisioning.settings import is_loopback

if TYPE_CHECKING:
    from boto3.session import Session

    from provisioning.aws import Credentials

ATTEMPTS = 6
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60


def open_session(
    region: str, profile: str | None, endpoint_url: str | None, credentials: Credentials | None = None
) -> Aws:
    """Return the bundle of services; raise `CredentialsMissing` when the profile does not exist."""
    with translated("session:Open"):
        session = boto3.Session(
            profile_name=profile,
            region_name=region,
            aws_access_key_id=credentials.access_key if credentials else None,
            aws_secret_access_key=credentials.secret_key if credentials else None,
            botocore_session=BotocoreSession(NOT_THE_USERS) if credentials else None,
        )
        return Aws(session, region, endpoint_url)


# With keys given outright, nothing of the user's AWS configuration is meant: no profile, no file.
NOT_THE_USERS: dict[str, tuple[None, None, str | None, None]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class Aws:
    """The services of one account in one region."""

    def __init__(self, session: Session, region: str, endpoint_url: str | None = None) -> None:
        self.region = region
        self.endpoint_url = endpoint_url
        self._session = session

    def in_region(self, region: str) -> Aws:
        """Return the same account's services in another region."""
        return Aws(self._session, region, self.endpoint_url)

    def _config(self, attempts: int = ATTEMPTS) -> Config:
        return Config(
            region_name=self.region,
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            user_agent_extra="amazonei",
            # A bucket's own host name does not resolve behind a local endpoint.
            s3={
                "addressing_style": "path" if self.endpoint_url else "auto",
                # Every body we send has a checksum, and that is signed: hashing it once more proves nothing.
                "payload_signing_enabled": False,
            },
            # A proxy of the user's cannot reach this machine's own loopback.
            proxies={} if is_loopback(self.endpoint_url) else None,
        )

    def _client(self, service: str) -> Any:
        return self._session.client(service, endpoint_url=self.endpoint_url, config=self._config())  # type: ignore[call-overload]

    @cached_property
    def acm(self) -> Acm:
        """Certificates."""
        return Acm(self._client("acm"))

    @cached_property
    def autoscaling(self) -> AutoScaling:
        """Groups of hosts."""
        return AutoScaling(
            self._session.client("autoscaling", endpoint_url=self.endpoint_url, config=self._config())
        )

    @cached_property
    def budgets(self) -> Budgets:
        """What a deployment may cost."""
        return Budgets(self._client("budgets"))

    @cached_property
    def cloudformation(self) -> CloudFormation:
        """Stacks and change sets."""
        return CloudFormation(
            self._session.client("cloudformation", endpoint_url=self.endpoint_url, config=self._config())
        )

    @cached_property
    def ec2(self) -> Ec2:
        """Offerings, zones, networks and hosts."""
        return Ec2(self._session.client("ec2", endpoint_url=self.endpoint_url, config=self._config()))

    @cached_property
    def ec2_capacity(self) -> Ec2Capacity:
        """What of the account's quotas runs."""
        return Ec2Capacity(self._session.client("ec2", endpoint_url=self.endpoint_url, config=self._config()))

    @cached_property
    def ec2_inventory(self) -> Ec2Inventory:
        """Every kind of EC2 resource, by tag."""
        return Ec2Inventory(
            self._session.client("ec2", endpoint_url=self.endpoint_url, config=self._config())
        )

    @cached_property
    def ec2_network(self) -> Ec2Network:
        """Networks that are somebody else's."""
        return Ec2Network(self._session.client("ec2", endpoint_url=self.endpoint_url, config=self._config()))

    @cached_property
    def elbv2(self) -> Elbv2:
        """Load balancers and their target groups."""
        return Elbv2(self._client("elbv2"))

    @cached_property
    def iam(self) -> Iam:
        """Roles, instance profiles and policies, by path."""
        return Iam(self._session.client("iam", endpoint_url=self.endpoint_url, config=self._config()))

    @cached_property
    def kms(self) -> Kms:
        """Keys."""
        return Kms(self._client("kms"))

    @cached_property
    def logs(self) -> Logs:
        """Log groups."""
        return Logs(self._session.client("logs", endpoint_url=self.endpoint_url, config=self._config()))

    @cached_property
    def s3(self) -> S3:
        """Buckets and objects."""
        return S3(
            self._session.client("s3", endpoint_url=self.endpoint_url, config=self._config()), self.region
        )

    @cached_property
    def optional_s3(self) -> S3:
        """Buckets and objects that can be done without: that they cannot be reached is told soon."""
        config = self._config(2).merge(Config(connect_timeout=3, read_timeout=10))
        return S3(self._session.client("s3", endpoint_url=self.endpoint_url, config=config), self.region)

    @cached_property
    def scheduler(self) -> Scheduler:
        """Groups of schedules."""
        return Scheduler(self._client("scheduler"))

    @cached_property
    def service_quotas(self) -> ServiceQuotas:
        """How much of a service the account may use."""
        return ServiceQuotas(self._client("service-quotas"))

    @cached_property
    def sqs(self) -> Sqs:
        """Queues."""
        return Sqs(self._client("sqs"))

    @cached_property
    def sagemaker(self) -> SageMaker:
        """Endpoints, endpoint configurations and models, with their tags."""
        return SageMaker(
            self._session.client("sagemaker", endpoint_url=self.endpoint_url, config=self._config())
        )

    @cached_property
    def sagemaker_runtime(self) -> SageMakerRuntime:
        """Requests to endpoints."""
        return SageMakerRuntime(self._client("sagemaker-runtime"))

    @cached_property
    def ssm(self) -> Ssm:
        """Commands to hosts, documents and parameters."""
        return Ssm(self._session.client("ssm", endpoint_url=self.endpoint_url, config=self._config()))

    @cached_property
    def sts(self) -> Sts:
        """Who is asking. Two attempts only: it is the first call, so a wrong endpoint is told at once."""
        return Sts(self._session.client("sts", endpoint_url=self.endpoint_url, config=self._config(2)))
