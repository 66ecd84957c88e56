"""The SageMaker endpoints that stand: what they are called, which one is meant, and one request to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provisioning.deployment import Deployment
    from provisioning.operations import HostCalls

JSON_TYPE = "application/json"


def endpoint_name(deployment: str, accelerator: str) -> str:
    """Return what the stack of an endpoint calls it."""
    return f"{deployment}-{accelerator.replace('.', '-')}"


def standing_endpoints(deployment: Deployment) -> Mapping[str, str]:
    """Return the names of the endpoints that stand, by their stacks' names."""
    return {
        stack.name: stack.outputs["EndpointName"]
        for stack in deployment.stacks
        if "EndpointName" in stack.outputs
    }


def is_endpoint_only(deployment: Deployment) -> bool:
    """Return whether there is an endpoint to ask, and no host."""
    return bool(standing_endpoints(deployment)) and not deployment.hosts


def choose_standing(deployment: Deployment, accelerator: str | None) -> str:
    """Return the name of the endpoint meant; raise `BadRequest` when that is not clear or not there."""
    names = sorted(standing_endpoints(deployment).values())
    if accelerator is not None:
        names = [name for name in names if name == endpoint_name(deployment.name, accelerator)]
    if len(names) == 1:
        return names[0]
    if not names:
        raise BadRequest(
            f"Deployment {deployment.name} has no endpoint{f' on {accelerator}' if accelerator else ''}.",
            "Ship an artifact to one: amazonei ship ARTIFACT --to sagemaker",
        )
    raise BadRequest(f"There are several endpoints: {', '.join(names)}.", "Pass --accelerator.")


def invoke(calls: HostCalls, endpoint: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Send one request; return its outputs, and the milliseconds from here to there and back."""
    started = calls.clock.monotonic()
    answer = calls.aws.sagemaker_runtime.invoke(endpoint, json.dumps(body).encode(), JSON_TYPE)
    elapsed = calls.clock.monotonic() - started
    return {
        "outputs": json.loads(answer.body)["outputs"],
        "endpoint": endpoint,
        "latency_ms": round(elapsed * 1e3, 3),
        "emulated": calls.emulated,
    }
