"""Corrections of SageMaker endpoints: they are created in time, really serve, and fail with a reason."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.logs.models import logs_backends
from moto.s3.models import s3_backends
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import sagemaker_backends
from moto.sagemakerruntime.responses import SageMakerRuntimeResponse
from moto.utilities.utils import get_partition

from provisioning.emulator import datacenter
from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import Function, instead, wrap
from provisioning.emulator.hosting import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moto.sagemaker.models import FakeEndpoint, SageMakerModelBackend
    from moto.sagemaker.responses import SageMakerResponse

    from provisioning.emulator.hosting import Hosting

LOG_GROUP = "/aws/sagemaker/Endpoints/"
_HEADERS = ("Content-Type", "Accept", "X-Amzn-SageMaker-Custom-Attributes")


def deploy(endpoint: FakeEndpoint, account: str, region: str, config: str) -> None:
    """Let an endpoint run what a configuration names, in the background; its status says what becomes of it.

    A new endpoint that does not come up is Failed; one that served before goes on serving what it did.
    """
    center = datacenter.current()
    if center is None:
        return
    begins = endpoint.endpoint_status != "InService"
    endpoint.endpoint_status = "Creating" if begins else "Updating"
    endpoint.failure_reason = None
    threading.Thread(
        target=_bring_up, args=(center.hosting, endpoint, (account, region), config), daemon=True
    ).start()


def _bring_up(hosting: Hosting, endpoint: FakeEndpoint, place: tuple[str, str], config: str) -> None:
    serves_already = hosting.find(endpoint.arn) is not None
    reason = _reason_not_to(hosting, endpoint, place, config)
    if reason is None:
        endpoint.endpoint_config_name = config
    endpoint.failure_reason = reason  # type: ignore[assignment]
    endpoint.last_modified_time = utcnow()
    endpoint.endpoint_status = "InService" if reason is None or serves_already else "Failed"


def _reason_not_to(
    hosting: Hosting, endpoint: FakeEndpoint, place: tuple[str, str], config: str
) -> str | None:
    """Start the container; return the reason why the endpoint cannot serve, or None when it does."""
    backend = sagemaker_backends[place[0]][place[1]]
    (variant,) = backend.endpoint_configs[config].production_variants
    container = backend.describe_model(variant["ModelName"]).primary_container
    package = _read(place, container.get("ModelDataUrl", ""))
    if package is None:
        return f"Could not find model data at {container.get('ModelDataUrl')}."
    environment = {str(key): str(value) for key, value in (container.get("Environment") or {}).items()}
    if variant.get("AcceleratorType"):
        environment["SAGEMAKER_INFERENCE_ACCELERATOR_PRESENT"] = "true"
    order = Order(endpoint=endpoint.endpoint_name, package=package, environment=environment)
    if hosting.replace(endpoint.arn, order, _log_to(endpoint.endpoint_name, place, variant["VariantName"])):
        return None
    return (
        f"The primary container for production variant {variant['VariantName']} did not pass the ping health "
        "check. Please check CloudWatch logs for this endpoint."
    )


def _read(place: tuple[str, str], address: str) -> bytes | None:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    try:
        found = s3_backends[place[0]][get_partition(place[1])].get_object(bucket, key)
    except Exception:  # noqa: BLE001 - whatever S3 refuses with, the model's data cannot be had
        return None
    return None if found is None else bytes(found.value)


def _log_to(endpoint: str, place: tuple[str, str], variant: str) -> Callable[[str], None]:
    """Return what writes a line into the endpoint's log group, which is made if it is not there."""
    logs = logs_backends[place[0]][place[1]]
    group, stream = f"{LOG_GROUP}{endpoint}", f"{variant}/i-{time.time_ns():017x}"[-40:]
    logs.ensure_log_group(group)
    logs.ensure_log_stream(group, stream)

    def hear(line: str) -> None:
        if group in logs.groups:  # a stack may have taken it away meanwhile
            logs.put_log_events(
                group, stream, [{"timestamp": int(time.time() * 1000), "message": line or " "}]
            )

    return hear


def _creating(original: Function) -> Function:
    def create_endpoint(self: SageMakerModelBackend, endpoint_name: str, *rest: Any, **named: Any) -> Any:
        if endpoint_name in self.endpoints:
            arn = self.endpoints[endpoint_name].arn
            raise ValidationError(message=f"Cannot create already existing endpoint {arn!r}.")
        endpoint = original(self, endpoint_name, *rest, **named)
        if datacenter.current() is not None:
            endpoint.endpoint_status = "Creating"
            deploy(endpoint, self.account_id, self.region_name, endpoint.endpoint_config_name)
        return endpoint

    return create_endpoint


def _deleting(original: Function) -> Function:
    def delete_endpoint(self: SageMakerModelBackend, endpoint_name: str) -> None:
        endpoint, center = self.endpoints.get(endpoint_name), datacenter.current()
        if endpoint is not None and center is not None:
            center.hosting.end(endpoint.arn)
        original(self, endpoint_name)

    return delete_endpoint


def _update_endpoint(response: SageMakerResponse) -> ActionResult:
    backend = response.sagemaker_backend
    name, config = response._get_param("EndpointName"), response._get_param("EndpointConfigName")
    endpoint = update(backend, name, config)
    return ActionResult({"EndpointArn": endpoint.arn})


def update(backend: SageMakerModelBackend, name: str, config: str) -> FakeEndpoint:
    """Begin to bring an endpoint to another configuration; raise `ValidationError` where that cannot be."""
    backend.describe_endpoint(name)
    backend.describe_endpoint_config(config)
    endpoint = backend.endpoints[name]
    if endpoint.endpoint_status not in ("InService", "Failed"):
        raise ValidationError(message=f"Cannot update in-progress endpoint {endpoint.arn!r}.")
    deploy(endpoint, backend.account_id, backend.region_name, config)
    return endpoint


def _invoking(original: Function) -> Function:
    def invoke_endpoint(self: SageMakerRuntimeResponse) -> Any:
        center = datacenter.current()
        return original(self) if center is None else _invoke(center.hosting, self)

    return invoke_endpoint


def _invoke(hosting: Hosting, response: SageMakerRuntimeResponse) -> tuple[int, Mapping[str, Any], bytes]:
    account, region, name = response.current_account, response.region, response.path.split("/")[2]
    endpoint = sagemaker_backends[account][region].endpoints.get(name)
    container = hosting.find(endpoint.arn) if endpoint is not None else None
    if endpoint is None or container is None:
        return _refusal(400, "ValidationError", Message=f"Endpoint {name} of account {account} not found.")
    headers = {key: response.headers[key] for key in _HEADERS if key in response.headers}
    try:
        reply = container.ask(response.raw_body or b"", headers)
    except (OSError, http.client.HTTPException) as error:
        return _refusal(500, "InternalFailure", Message=f"The container does not answer: {error}")
    variant = endpoint.production_variants[0]["VariantName"]
    if reply.status >= 400:
        said = reply.body.decode(errors="replace")
        return _refusal(
            424,
            "ModelError",
            Message=f'Received client error ({reply.status}) from primary with message "{said}".',
            OriginalMessage=said,
            OriginalStatusCode=reply.status,
            LogStreamArn=f"arn:{get_partition(region)}:logs:{region}:{account}:log-group:{LOG_GROUP}{name}",
        )
    return 200, {"Content-Type": reply.content_type, "x-Amzn-Invoked-Production-Variant": variant}, reply.body


def _refusal(status: int, code: str, **members: Any) -> tuple[int, Mapping[str, Any], bytes]:
    # moto reads the status from among the headers.
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code, "status": status}
    return status, headers, json.dumps(members).encode()


_BACKEND = "moto.sagemaker.models:SageMakerModelBackend"
_CREATE = Anchor(f"{_BACKEND}.create_endpoint", "b85b2ab7d1f4965a")
_DELETE = Anchor(f"{_BACKEND}.delete_endpoint", "8266ce58344a5c4f")
_UPDATE = Anchor("moto.sagemaker.responses:SageMakerResponse.update_endpoint", "")
_INVOKE = Anchor(
    "moto.sagemakerruntime.responses:SageMakerRuntimeResponse.invoke_endpoint", "418d5d12a47cfb31"
)


def _install_invocation() -> None:
    SageMakerRuntimeResponse.use_raw_body = True  # a body is the model's matter, and may be no text
    wrap((_INVOKE, _invoking))()


CORRECTIONS = (
    Correction(
        name="endpoints-come-up",
        statement=(
            "A new endpoint is Creating until its container answers the health check, then InService; "
            "else it is Failed with a FailureReason, and what its container wrote is in CloudWatch Logs."
        ),
        source="https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html",
        anchors=(_CREATE, _DELETE, Anchor("moto.sagemaker.models:FakeEndpoint.__init__", "a12843449c11775d")),
        install=wrap((_CREATE, _creating), (_DELETE, _deleting)),
    ),
    Correction(
        name="endpoints-are-updated",
        statement=(
            "UpdateEndpoint brings up the new configuration beside the old one, which goes on serving when "
            "the new one fails."
        ),
        source="https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateEndpoint.html",
        anchors=(_UPDATE,),
        install=wrap((_UPDATE, instead(_update_endpoint))),
    ),
    Correction(
        name="endpoints-answer",
        statement=(
            "InvokeEndpoint gives the container's answer; a container's error is a ModelError with its "
            "status and its words."
        ),
        source="https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html",
        anchors=(_INVOKE,),
        install=_install_invocation,
    ),
)
