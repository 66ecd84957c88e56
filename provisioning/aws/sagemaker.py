"""SageMaker: what exists, with its tags, and how an endpoint fares. CloudFormation makes and deletes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.aws.tags import as_mapping
from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_sagemaker import SageMakerClient


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedResource:
    """A SageMaker resource; its tags are a call of their own (`tags`)."""

    name: str
    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRecord:
    """An endpoint as DescribeEndpoint shows it."""

    name: str
    status: str  # Creating, InService, Updating, Failed, ...
    failure: str  # why the last creation or update failed; empty when it did not
    configuration: str
    instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRecord:
    """What an endpoint's instances are."""

    instance_type: str  # "ml.inf2.xlarge"
    elastic_inference: str | None  # "ml.eia2.medium"


class SageMaker:
    """The SageMaker calls this project makes."""

    def __init__(self, client: SageMakerClient) -> None:
        self._client = client

    @translated("sagemaker:ListEndpoints")
    def endpoints(self) -> tuple[NamedResource, ...]:
        """Return every endpoint."""
        pages = self._client.get_paginator("list_endpoints").paginate()
        return tuple(
            NamedResource(name=item["EndpointName"], arn=item["EndpointArn"])
            for page in pages
            for item in page["Endpoints"]
        )

    @translated("sagemaker:DescribeEndpoint")
    def endpoint(self, name: str) -> EndpointRecord:
        """Return an endpoint; raise `AwsError` when there is none."""
        answer = self._client.describe_endpoint(EndpointName=name)
        variants = answer.get("ProductionVariants", [])
        return EndpointRecord(
            name=name,
            status=answer["EndpointStatus"],
            failure=answer.get("FailureReason", ""),
            configuration=answer.get("EndpointConfigName", ""),
            instances=sum(variant.get("CurrentInstanceCount", 0) for variant in variants),
        )

    @translated("sagemaker:DescribeEndpointConfig")
    def variant(self, configuration: str) -> VariantRecord:
        """Return what a configuration of ours runs on: it has one variant."""
        variant = self._client.describe_endpoint_config(EndpointConfigName=configuration)[
            "ProductionVariants"
        ][0]
        return VariantRecord(
            instance_type=variant.get("InstanceType", ""), elastic_inference=variant.get("AcceleratorType")
        )

    @translated("sagemaker:ListEndpointConfigs")
    def endpoint_configs(self) -> tuple[NamedResource, ...]:
        """Return every endpoint configuration."""
        pages = self._client.get_paginator("list_endpoint_configs").paginate()
        return tuple(
            NamedResource(name=item["EndpointConfigName"], arn=item["EndpointConfigArn"])
            for page in pages
            for item in page["EndpointConfigs"]
        )

    @translated("sagemaker:ListModels")
    def models(self) -> tuple[NamedResource, ...]:
        """Return every model."""
        pages = self._client.get_paginator("list_models").paginate()
        return tuple(
            NamedResource(name=item["ModelName"], arn=item["ModelArn"])
            for page in pages
            for item in page["Models"]
        )

    @translated("sagemaker:ListNotebookInstances")
    def notebooks(self) -> tuple[NamedResource, ...]:
        """Return every notebook instance."""
        pages = self._client.get_paginator("list_notebook_instances").paginate()
        return tuple(
            NamedResource(name=item["NotebookInstanceName"], arn=item["NotebookInstanceArn"])
            for page in pages
            for item in page["NotebookInstances"]
        )

    @translated("sagemaker:ListTags")
    def tags(self, arn: str) -> Mapping[str, str]:
        """Return the tags of one resource."""
        pages = self._client.get_paginator("list_tags").paginate(ResourceArn=arn)
        return as_mapping(tag for page in pages for tag in page["Tags"])
