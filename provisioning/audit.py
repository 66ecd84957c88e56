"""What a deployment, or any deployment, has left in a region.

The table in `finders` covers every type our templates create. What may not be looked at is told too,
never passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.errors import AccessDenied
from provisioning.finders import FINDERS

if TYPE_CHECKING:
    from provisioning.aws import Aws
    from provisioning.finders import Finder
    from provisioning.searches import Found

EVERYWHERE = "all regions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that exists, or, when `looked` is false, a kind that could not be looked at."""

    kind: str
    id: str
    region: str
    name: str
    deployment: str
    hint: str  # the command that removes it, or what allows looking
    looked: bool = True

    def describe(self) -> str:
        """Return one line for a person."""
        if not self.looked:
            return f"could not look for a {self.kind} in {self.region}: {self.name}"
        named = f" ({self.name})" if self.name != self.id else ""
        return f"{self.kind} {self.id}{named} of deployment {self.deployment} in {self.region}"


def audit(aws: Aws, deployment: str | None = None, *, with_global: bool = True) -> tuple[Leftover, ...]:
    """Return what is left of the deployment (of any, when None) in the region of `aws`.

    IAM belongs to no region; whoever audits many regions looks at it in one of them (`with_global`).
    """
    finders = (finder for finder in FINDERS if with_global or not finder.in_all_regions)
    return tuple(leftover for finder in finders for leftover in _look(finder, aws, deployment))


def _look(finder: Finder, aws: Aws, deployment: str | None) -> tuple[Leftover, ...]:
    try:
        return tuple(_leftover(finder, found, aws.region) for found in finder.find(aws, deployment))
    except AccessDenied as error:
        return (_unseen(finder, error, aws.region, deployment or ""),)


def _leftover(finder: Finder, found: Found, region: str) -> Leftover:
    remedy = finder.remedy.format(id=found.id, deployment=found.deployment)
    return Leftover(
        kind=finder.kind,
        id=found.id,
        region=EVERYWHERE if finder.in_all_regions else region,
        name=found.name or found.id,
        deployment=found.deployment,
        hint=remedy if finder.in_all_regions else f"{remedy} --region {region}",
    )


def _unseen(finder: Finder, error: AccessDenied, region: str, deployment: str) -> Leftover:
    return Leftover(
        kind=finder.kind,
        id="",
        region=EVERYWHERE if finder.in_all_regions else region,
        name=error.message,
        deployment=deployment,
        hint=f"Allow {error.operation}, then audit again.",
        looked=False,
    )
