"""SageMaker: what exists, with its tags; nothing is made here yet."""

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
