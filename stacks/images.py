"""The images that SageMaker serves a model with: one for each family, from the registry of the region."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest

if TYPE_CHECKING:
    from artifacts.targets import Target

_OWN_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<repository>[a-z0-9._/-]{2,256}):(?P<tag>[\w.-]{1,128})",
    re.ASCII,
)
_RELEASE = re.compile(r"\d+\.\d+\.\d+")
IMAGES_FILE = Path(__file__).with_name("images.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingImage:
    """A repository and tag in the registry of an account, and the driver image its hosts boot."""

    account: str
    repository: str
    tag: str
    torch: str  # the release it carries
    ami_version: str | None = None


def serving_image(target: Target, region: str) -> ServingImage:
    """Return the image that serves a target in a region.

    Raises `BadRequest` where no source names an image for the family or a registry for the region.
    """
    row = _document()["families"].get(target.family.value)
    if row is None or target.architecture != "x86_64":
        raise BadRequest(
            f"No serving image for {target.name} is known.", "Serve it on a host: leave [[endpoints]] out."
        )
    return ServingImage(
        account=_registry(region),
        repository=row["repository"],
        tag=row["tag"],
        torch=row["torch"],
        ami_version=row.get("ami"),
    )


def own_image(name: str, torch: str, target: Target, region: str) -> ServingImage:
    """Return an image of one's own, in a registry of the region, that carries a release of torch.

    It must answer /ping and /invocations as AWS's do: build it FROM one of AWS's.
    """
    found = _OWN_IMAGE.fullmatch(name)
    if found is None or found["region"] != region:
        raise BadRequest(
            f"{name!r} is not an image in a registry of {region}.",
            f"Write it like 123456789012.dkr.ecr.{region}.amazonaws.com/serving:2.13.0.",
        )
    if not _RELEASE.fullmatch(torch):
        raise BadRequest(f"{torch!r} is not a release of torch.", 'Write torch = "2.13.0".')
    row = _document()["families"].get(target.family.value, {})
    return ServingImage(
        account=found["account"],
        repository=found["repository"],
        tag=found["tag"],
        torch=torch,
        ami_version=row.get("ami"),
    )


def has_local_disk(instance_type: str) -> bool:
    """Return whether instances of this EC2 type bring disks of their own."""
    return instance_type.partition(".")[0] in _document()["disks"]["local"]


def _registry(region: str) -> str:
    registries = _document()["registries"]
    if region in registries["default_regions"]:
        return str(registries["default"])
    if region in registries["regions"]:
        return str(registries["regions"][region])
    raise BadRequest(
        f"No registry of serving images is known for {region}.", "Choose another region, or serve on a host."
    )


@cache
def _document() -> dict[str, Any]:
    with IMAGES_FILE.open("rb") as stream:
        return tomllib.load(stream)
