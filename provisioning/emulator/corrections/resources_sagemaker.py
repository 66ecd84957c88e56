"""SageMaker's resources in a template: models, configurations, endpoints, and notebook instances."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from moto.sagemaker.models import sagemaker_backends

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.resource_handlers import Handler, HandlerFailure, Request, register
from provisioning.emulator.corrections.sagemaker_endpoints import update

if TYPE_CHECKING:
    from moto.sagemaker.models import (
        FakeEndpoint,
        FakeEndpointConfig,
        FakeSagemakerNotebookInstance,
        Model,
        SageMakerModelBackend,
    )

_NAME_LIMIT = 63
_POLL_S = 0.05
_UNSETTLED = ("Creating", "Updating")


def _backend(request: Request) -> SageMakerModelBackend:
    return sagemaker_backends[request.account_id][request.region]


def _tags(request: Request) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in request.tags.items()]


def _tag(resource: Any, request: Request) -> None:
    resource.tags = _tags(request)


def _create_model(request: Request) -> Model:
    properties = request.properties
    model = _backend(request).create_model(
        model_name=request.name,
        execution_role_arn=properties.get("ExecutionRoleArn", ""),
        primary_container=properties.get("PrimaryContainer"),
        vpc_config=properties.get("VpcConfig"),
        containers=properties.get("Containers"),
        tags=_tags(request),
    )
    model.enable_network_isolation = properties.get("EnableNetworkIsolation", False)
    return model


def _delete_model(model: Model, request: Request) -> None:
    _backend(request).delete_model(model.model_name)


def _create_config(request: Request) -> FakeEndpointConfig:
    properties = request.properties
    return _backend(request).create_endpoint_config(
        endpoint_config_name=request.name,
        production_variants=properties["ProductionVariants"],
        data_capture_config=properties.get("DataCaptureConfig", {}),
        async_inference_config=properties.get("AsyncInferenceConfig", {}),
        tags=_tags(request),
        kms_key_id=properties.get("KmsKeyId", ""),
    )


def _delete_config(config: FakeEndpointConfig, request: Request) -> None:
    _backend(request).delete_endpoint_config(config.endpoint_config_name)


def _create_endpoint(request: Request) -> FakeEndpoint:
    return _backend(request).create_endpoint(
        request.name, _config_name(request.properties["EndpointConfigName"]), _tags(request)
    )


def _change_endpoint(endpoint: FakeEndpoint, request: Request) -> FakeEndpoint:
    wanted = _config_name(request.properties["EndpointConfigName"])
    if wanted != endpoint.endpoint_config_name:
        update(_backend(request), endpoint.endpoint_name, wanted)
    return endpoint


def _delete_endpoint(endpoint: FakeEndpoint, request: Request) -> None:
    _backend(request).delete_endpoint(endpoint.endpoint_name)


def _settle_endpoint(endpoint: FakeEndpoint, request: Request) -> None:
    """Wait as CloudFormation does; raise `HandlerFailure` with the endpoint's own reason."""
    while endpoint.endpoint_status in _UNSETTLED:
        time.sleep(_POLL_S)
    # An endpoint that kept what it served before tells why, and goes on telling it after the way back.
    wanted = _config_name(request.properties["EndpointConfigName"])
    if endpoint.endpoint_status == "Failed" or endpoint.endpoint_config_name != wanted:
        raise HandlerFailure(str(endpoint.failure_reason))


def _config_name(name: str) -> str:
    """Return a configuration's name; Ref gives its ARN."""
    return name.rpartition("/")[2]


def _create_notebook(request: Request) -> FakeSagemakerNotebookInstance:
    properties = request.properties
    return _backend(request).create_notebook_instance(
        notebook_instance_name=request.name,
        instance_type=properties["InstanceType"],
        role_arn=properties["RoleArn"],
        subnet_id=properties.get("SubnetId"),
        security_group_ids=properties.get("SecurityGroupIds"),
        kms_key_id=properties.get("KmsKeyId"),
        tags=_tags(request),
        direct_internet_access=properties.get("DirectInternetAccess", "Enabled"),
        volume_size_in_gb=int(properties.get("VolumeSizeInGB", 5)),
        accelerator_types=properties.get("AcceleratorTypes"),
        root_access=properties.get("RootAccess"),
    )


def _delete_notebook(notebook: FakeSagemakerNotebookInstance, request: Request) -> None:
    backend = _backend(request)
    backend.stop_notebook_instance(notebook.notebook_instance_name)
    backend.delete_notebook_instance(notebook.notebook_instance_name)


_HANDLERS = {
    "AWS::SageMaker::Model": Handler(
        create=_create_model,
        delete=_delete_model,
        tag=_tag,
        name_property="ModelName",
        name_limit=_NAME_LIMIT,
    ),
    "AWS::SageMaker::EndpointConfig": Handler(
        create=_create_config,
        delete=_delete_config,
        tag=_tag,
        name_property="EndpointConfigName",
        name_limit=_NAME_LIMIT,
    ),
    "AWS::SageMaker::Endpoint": Handler(
        create=_create_endpoint,
        update=_change_endpoint,
        delete=_delete_endpoint,
        settle=_settle_endpoint,
        tag=_tag,
        name_property="EndpointName",
        name_limit=_NAME_LIMIT,
    ),
    "AWS::SageMaker::NotebookInstance": Handler(
        create=_create_notebook,
        delete=_delete_notebook,
        tag=_tag,
        name_property="NotebookInstanceName",
        name_limit=_NAME_LIMIT,
    ),
}


def _install() -> None:
    for type_name, handler in _HANDLERS.items():
        register(type_name, handler)


_BACKEND = "moto.sagemaker.models:SageMakerModelBackend"

CORRECTIONS = (
    Correction(
        name="sagemaker-resources",
        statement=(
            "Models, configurations, endpoints and notebook instances have the names, tags and networks of "
            "their template; an endpoint is complete when it is InService, and failed with its FailureReason."
        ),
        source=(
            "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"
            "aws-resource-sagemaker-endpoint.html"
        ),
        anchors=(
            Anchor(f"{_BACKEND}.create_model", "fa2d193c05cfcb11"),
            Anchor(f"{_BACKEND}.delete_model", "a6631ef55456b3b6"),
            Anchor(f"{_BACKEND}.create_endpoint_config", "70a30e937416f2c2"),
            Anchor(f"{_BACKEND}.delete_endpoint_config", "b95929e5c9885209"),
            Anchor(f"{_BACKEND}.create_notebook_instance", "2f99733ccef89587"),
            Anchor(f"{_BACKEND}.stop_notebook_instance", "03cb074589db5acd"),
            Anchor(f"{_BACKEND}.delete_notebook_instance", "759772094062846c"),
        ),
        install=_install,
    ),
)
