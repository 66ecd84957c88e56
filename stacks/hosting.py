"""What SageMaker is asked to run: endpoints that serve a model, and notebook instances.

Both have stacks of their own. An endpoint's stack takes the model's S3 URI as a parameter, so it is
deployed when there is something to serve, and never by `setup`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest
from artifacts.targets import Family, find
from stacks.images import ServingImage, has_local_disk, own_image, serving_image

if TYPE_CHECKING:
    from collections.abc import Mapping

ELASTIC_INFERENCE_HOST = "m5.xlarge"
NOTEBOOK_HOST = "ml.t3.medium"
NEURON = (Family.INFERENTIA1, Family.INFERENTIA2, Family.TRAINIUM1, Family.TRAINIUM2)
# https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-exclusions.html
WITHOUT_GUARDRAILS = (Family.INFERENTIA1, Family.ELASTIC_INFERENCE)
KNOWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "endpoints": ("accelerator", "count", "max_count", "invocations_per_minute", "image", "torch"),
    "notebooks": ("name", "instance_type", "accelerator"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """A real-time endpoint on one accelerator, which grows and shrinks with its traffic."""

    accelerator: str  # the catalogue's name
    instance_type: str  # SageMaker's, "ml.inf2.xlarge"
    image: ServingImage
    elastic_inference: str | None = None  # "ml.eia2.medium"; retired, for the emulator and for migration
    workers: int | None = (
        None  # processes of a container, one for each NeuronCore; elsewhere the container decides
    )
    guardrails: bool = True  # whether SageMaker updates it beside itself
    local_disk: bool = False  # SageMaker takes no key for the volumes of such instances
    count: int = 1
    max_count: int = 4
    invocations_per_minute: int = 600  # of one instance, at which another one is added

    def __post_init__(self) -> None:
        if not 1 <= self.count <= self.max_count:
            raise BadRequest(
                f"An endpoint cannot have {self.count} to {self.max_count} instances.",
                "Write 1 <= count <= max_count.",
            )
        if self.invocations_per_minute < 1:
            raise BadRequest(
                "An endpoint that grows at no invocations never stops.", "Write 1 or more per minute."
            )

    def stack(self, deployment: str) -> str:
        """Return the name of its stack."""
        return f"{deployment}-endpoint-{self.accelerator.replace('.', '-')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookSpec:
    """A notebook instance inside the deployment's network."""

    name: str
    instance_type: str = NOTEBOOK_HOST
    elastic_inference: str | None = None

    def __post_init__(self) -> None:
        if not self.name.isalnum() or not self.name.islower():
            raise BadRequest(f"{self.name!r} cannot name a notebook.", "Use lower-case letters and digits.")

    def stack(self, deployment: str) -> str:
        """Return the name of its stack."""
        return f"{deployment}-notebook-{self.name}"


def endpoint_for(
    accelerator: str,
    region: str,
    *,
    count: int = 1,
    max_count: int = 4,
    invocations_per_minute: int = 600,
    own: tuple[str, str] | None = None,
) -> EndpointSpec:
    """Return the endpoint that serves on an accelerator of the catalogue; `own` is an image and its torch."""
    target = find(accelerator)
    attached = target.family is Family.ELASTIC_INFERENCE
    host = target.instance_type or ELASTIC_INFERENCE_HOST
    return EndpointSpec(
        accelerator=target.name,
        instance_type=f"ml.{host}",
        image=own_image(*own, target, region) if own else serving_image(target, region),
        elastic_inference=f"ml.{target.name}" if attached else None,
        workers=target.cores if target.family in NEURON else None,
        guardrails=target.family not in WITHOUT_GUARDRAILS,
        local_disk=has_local_disk(host),
        count=count,
        max_count=max(count, max_count),
        invocations_per_minute=invocations_per_minute,
    )


def notebook_for(
    name: str, *, instance_type: str | None = None, accelerator: str | None = None
) -> NotebookSpec:
    """Return a notebook instance; only an Elastic Inference accelerator can be attached to one."""
    attached = find(accelerator) if accelerator is not None else None
    if attached is not None and attached.family is not Family.ELASTIC_INFERENCE:
        raise BadRequest(
            f"{attached.name} cannot be attached to a notebook.", "Name its instance type instead."
        )
    return NotebookSpec(
        name=name,
        instance_type=instance_type or NOTEBOOK_HOST,
        elastic_inference=f"ml.{attached.name}" if attached is not None else None,
    )
