"""Ship an artifact to a SageMaker endpoint of the deployment: plan, upload, deploy, and tell why not."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from artifacts.errors import ArtifactRefused, BadRequest
from artifacts.serve.sagemaker.fitness import refuse_older_torch
from artifacts.targets import find, refuse_retired
from provisioning.aws.checksums import upload_checksum
from provisioning.deploying import StackRequest, deploy_stack
from provisioning.deployment import TAG_DEPLOYMENT, TAG_EXPIRES
from provisioning.endpoint_failures import explained, read_log, read_reason
from provisioning.errors import AwsError, StackFailed
from provisioning.plan import DeployStack, describe
from provisioning.pricing import endpoint_estimate
from provisioning.standing_endpoints import endpoint_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from artifacts.manifest import Manifest
    from artifacts.serve.sagemaker.package import ModelPackage
    from provisioning.aws.cloudformation import StackEvent, StackRecord
    from provisioning.deployment import Deployment
    from provisioning.operations import HostCalls
    from provisioning.pricing import Estimate, PriceTable
    from stacks.hosting import EndpointSpec
    from stacks.spec import DeploymentSpec
    from stacks.synth import SynthesizedStack

TAG_RUN = "amazonei:run"
# Streams are dated by AWS's clock, and this machine's may be ahead of it.
CLOCK_SKEW_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPlan:
    """What shipping to an endpoint would do and cost."""

    deployment: str
    endpoint: EndpointSpec
    package: ModelPackage
    step: DeployStack
    tags: Mapping[str, str]
    cost: Estimate
    notes: tuple[str, ...]  # what a person should know before accepting
    resend: bool = False  # send the package whatever the bucket has

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return endpoint_name(self.deployment, self.endpoint.accelerator)

    def as_document(self) -> dict[str, Any]:
        """Return the plan as the JSON of a dry run."""
        return {
            "endpoint": self.name,
            "accelerator": self.endpoint.accelerator,
            "artifact": self.package.manifest.digest,
            "package": {"key": self.package.key, "bytes": self.package.size, "sha256": self.package.sha256},
            "steps": self.steps(),
            "instance_type": self.endpoint.instance_type,
            "instances": [self.endpoint.count, self.endpoint.max_count],
            "hourly_usd": None if self.cost.missing else round(self.cost.hourly, 6),
            "items": [asdict(item) for item in self.cost.items],
            "notes": list(self.notes),
        }

    def steps(self) -> list[str]:
        """Return the lines a person reads before accepting."""
        megabytes = f"{self.package.size / 1e6:.1f} MB"
        unless = "" if self.resend else " unless it is there"
        return [
            f"upload the package ({megabytes}, {self.package.sha256[:12]}){unless}",
            describe(self.step),
            f"wait until endpoint {self.name} is in service on {self.endpoint.instance_type}",
        ]


def choose_endpoint(spec: DeploymentSpec, manifest: Manifest) -> EndpointSpec:
    """Return the configured endpoint on the artifact's target; raise `BadRequest` when there is none."""
    for endpoint in spec.endpoints:
        if endpoint.accelerator == manifest.target:
            return endpoint
    there = ", ".join(endpoint.accelerator for endpoint in spec.endpoints) or "none"
    raise BadRequest(
        f"No endpoint on {manifest.target} is configured for {spec.name}; there are: {there}.",
        f'Write [[endpoints]] and accelerator = "{manifest.target}" into the file, and run setup again: '
        "its guard then knows of the endpoint.",
    )


def refuse_unservable(manifest: Manifest, endpoint: EndpointSpec, *, emulated: bool) -> tuple[str, ...]:
    """Return what would be refused on AWS but is served by an emulated endpoint.

    Raises `ArtifactRefused`, and `TargetRetired` for an accelerator that can no longer be had.

    An emulated container has this machine's torch, whichever image the template names.
    """
    if not emulated:
        refuse_retired(find(manifest.target))
    if not emulated and manifest.stand_in:
        raise ArtifactRefused(
            f"{manifest.name} is a CPU stand-in for {manifest.target}, for emulated endpoints only.",
            "Compile it without --emulate.",
        )
    image = endpoint.image
    try:
        refuse_older_torch(manifest, image.torch, f"the image {image.repository}:{image.tag}")
    except ArtifactRefused as refusal:
        if not emulated:
            raise
        return (f"On AWS this would be refused: {refusal.message}",)
    return ()


def plan_endpoint(
    deployment: Deployment,
    spec: DeploymentSpec,
    stacks: Sequence[SynthesizedStack],
    package: ModelPackage,
    prices: PriceTable,
    *,
    emulated: bool,
) -> EndpointPlan:
    """Return what shipping does and costs; raise `BadRequest` or `ArtifactRefused` where it cannot be.

    The endpoint lives and ends with the deployment that stands, so its guard must know it.
    """
    endpoint = choose_endpoint(spec, package.manifest)
    notes = refuse_unservable(package.manifest, endpoint, emulated=emulated)
    stack = next(each for each in stacks if each.name == endpoint.stack(spec.name))
    foundation = next(each for each in deployment.stacks if each.name == deployment.name)
    cost = endpoint_estimate(
        prices, spec.region, endpoint.instance_type, endpoint.elastic_inference, endpoint.count
    )
    return EndpointPlan(
        deployment=spec.name,
        endpoint=endpoint,
        package=package,
        step=DeployStack(
            stack=stack,
            parameters=_parameters(foundation, deployment.bucket, package),
            exists=any(each.name == stack.name for each in deployment.stacks),
        ),
        tags={TAG_DEPLOYMENT: spec.name, TAG_RUN: _run(foundation), TAG_EXPIRES: _expiry(foundation)},
        cost=cost,
        notes=(*notes, *(f"{missing.message} {missing.hint}" for missing in cost.missing)),
    )


def refuse_unguarded(calls: HostCalls, stack: str) -> None:
    """Raise `BadRequest` when the deployment has a guard that would leave this stack running for ever."""
    guard = f"{calls.deployment.name}-guard"
    if not any(each.name == guard for each in calls.deployment.stacks):
        return
    schedules = {
        resource.physical_id.rpartition("/")[2].rpartition("|")[2]
        for resource in calls.aws.cloudformation.resources(guard)
        if resource.type == "AWS::Scheduler::Schedule"
    }
    if stack not in schedules:
        raise BadRequest(
            f"The guard of {calls.deployment.name} does not know of {stack}, and would never end it.",
            "Run setup again with the same configuration: it tells the guard.",
        )


def _parameters(foundation: StackRecord, bucket: str, package: ModelPackage) -> tuple[tuple[str, str], ...]:
    return (
        ("RunId", _run(foundation)),
        ("ExpiresAt", _expiry(foundation)),
        ("ModelDataUrl", f"s3://{bucket}/{package.key}"),
        ("ManifestDigest", package.manifest.digest),
    )


def _run(foundation: StackRecord) -> str:
    return foundation.parameters.get("RunId", "cdk")


def _expiry(foundation: StackRecord) -> str:
    return foundation.parameters.get("ExpiresAt", "never")


def perform(calls: HostCalls, plan: EndpointPlan) -> bool:
    """Upload the package, deploy the endpoint and wait until it serves; return whether anything changed.

    Raises `EndpointFailed` with SageMaker's reason and the end of the container's log. What served before
    goes on serving; an endpoint that never did is deleted.
    """
    sent = upload(calls, plan.package, resend=plan.resend)
    heard: list[StackEvent] = []

    def hear(event: StackEvent) -> None:
        heard.append(event)
        event.tell(calls.say)

    began = time.time() - CLOCK_SKEW_S
    try:
        deploy_stack(
            calls.aws,
            _request(plan),
            on_event=hear,
            clock=calls.clock,
            on_heartbeat=lambda waited: calls.say(
                f"endpoint {plan.name}: {_state(calls, plan.name)}, {waited:.0f} s"
            ),
        )
    except StackFailed as failure:
        told = (read_reason(calls, plan.name, heard), read_log(calls, plan.name, began))
        raise explained(calls, plan, failure, told) from failure
    return sent or bool(heard)


def upload(calls: HostCalls, package: ModelPackage, *, resend: bool = False) -> bool:
    """Put the package into the bucket unless it is there; return whether it was sent.

    What is there is held against the checksum that S3 itself keeps: metadata are whatever the writer says.
    """
    bucket = calls.deployment.bucket
    kept = None if resend else calls.aws.s3.kept_checksum(bucket, package.key)
    if kept is not None and kept == upload_checksum(package.path):
        calls.say(f"{package.key} is in the bucket already")
        return False
    if kept is not None:
        calls.say(
            f"{package.key} in the bucket has another SHA-256 than the package, or none: it is replaced"
        )
    calls.say(f"uploading {package.path.name} ({package.size / 1e6:.1f} MB)")
    calls.aws.s3.upload_file(package.path, bucket, package.key)
    return True


def _request(plan: EndpointPlan) -> StackRequest:
    wish = json.dumps([plan.step.stack.digest, plan.step.parameters, datetime.now(UTC).isoformat()])
    return StackRequest(
        name=plan.step.stack.name,
        body=plan.step.stack.body,
        parameters=dict(plan.step.parameters),
        tags=plan.tags,
        token=f"ship-{hashlib.sha256(wish.encode()).hexdigest()[:32]}",
        # A creation that is rolled back takes its log group along, and with it the reason.
        keep_failed=True,
    )


def _state(calls: HostCalls, name: str) -> str:
    try:
        return calls.aws.sagemaker.endpoint(name).status
    except AwsError:
        return "not there yet"
