"""EC2's vCPU quotas: how much of each kind of instance an account may run, and how much it runs already.

New accounts may run few or no accelerated instances, and EC2 says so only when it is asked to start one. The
quotas count the default vCPUs of what runs, by kind, on demand and spot apart:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html#ec2-on-demand-instances-limits
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning.deployment import TAG_DEPLOYMENT
from provisioning.errors import AccessDenied, NotFound
from provisioning.findings import Finding, Level, not_checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from provisioning.aws import Aws

SERVICE = "ec2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A quota of EC2, in vCPUs."""

    code: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Instances that somebody is about to start."""

    instance_type: str
    count: int = 1
    is_spot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A quota that what is wanted counts against."""

    quota: Quota
    needed: int  # vCPUs of what is wanted
    used: int  # vCPUs of everything else that runs
    limit: float | None  # None: AWS names none there


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """What could not be looked at because a call is not allowed."""

    what: str
    refusal: AccessDenied


# By the letters that a type's name begins with; the codes are the same in every region.
_STANDARD = "acdhimrtz"
_ON_DEMAND: Mapping[str, Quota] = {
    **dict.fromkeys(_STANDARD, Quota(code="L-1216C47A", name="Running On-Demand Standard instances")),
    "inf": Quota(code="L-1945791B", name="Running On-Demand Inf instances"),
    "trn": Quota(code="L-2C3B7624", name="Running On-Demand Trn instances"),
    "g": Quota(code="L-DB2E81BA", name="Running On-Demand G and VT instances"),
    "p": Quota(code="L-417A185B", name="Running On-Demand P instances"),
}
_SPOT: Mapping[str, Quota] = {
    **dict.fromkeys(_STANDARD, Quota(code="L-34B43A08", name="All Standard Spot Instance Requests")),
    "inf": Quota(code="L-B5D1601B", name="All Inf Spot Instance Requests"),
    "trn": Quota(code="L-6B0D517C", name="All Trn Spot Instance Requests"),
    "g": Quota(code="L-3819A6DF", name="All G and VT Spot Instance Requests"),
    "p": Quota(code="L-7212CCBC", name="All P Spot Instance Requests"),
}


def every_quota() -> tuple[Quota, ...]:
    """Return every quota this module knows, once."""
    return tuple(dict.fromkeys((*_ON_DEMAND.values(), *_SPOT.values())))


def quota_of(instance_type: str, *, is_spot: bool) -> Quota | None:
    """Return the quota that instances of a type count against; None for kinds this tool does not start."""
    letters = re.match(r"[a-z]+", instance_type)
    return (_SPOT if is_spot else _ON_DEMAND).get(letters.group() if letters else "")


def observe_quotas(aws: Aws, wanted: Iterable[Wanted], deployment: str) -> tuple[Usage | Unread, ...]:
    """Ask AWS for the quotas that `wanted` counts against; only describe and get calls.

    What the deployment runs already is not counted as used: it is part of what is wanted. A call that is not
    allowed leaves what it would have told unread; nothing that comes later depends on it.
    """
    try:
        needed, used = _count(aws, tuple(wanted), deployment)
    except AccessDenied as refusal:
        return (Unread(what="The vCPU quotas were", refusal=refusal),)
    return tuple(_usage(aws, quota, count, used[quota]) for quota, count in needed.items() if count)


def _count(aws: Aws, wanted: Sequence[Wanted], deployment: str) -> tuple[Counter[Quota], Counter[Quota]]:
    """Return the vCPUs that are wanted and those that are used, by quota."""
    running = [each for each in aws.ec2_capacity.running() if each.tags.get(TAG_DEPLOYMENT) != deployment]
    types = {each.instance_type for each in wanted} | {each.instance_type for each in running}
    vcpus = aws.ec2_capacity.vcpus(types)
    needed, used = Counter[Quota](), Counter[Quota]()
    for each in wanted:
        if quota := quota_of(each.instance_type, is_spot=each.is_spot):
            needed[quota] += each.count * vcpus.get(each.instance_type, 0)
    for other in running:
        if quota := quota_of(other.instance_type, is_spot=other.is_spot):
            used[quota] += vcpus.get(other.instance_type, 0)
    return needed, used


def _usage(aws: Aws, quota: Quota, needed: int, used: int) -> Usage | Unread:
    try:
        return Usage(quota=quota, needed=needed, used=used, limit=_limit(aws, quota.code))
    except AccessDenied as refusal:
        return Unread(what=f"The quota '{quota.name}' was", refusal=refusal)


def _limit(aws: Aws, code: str) -> float | None:
    for ask in (aws.service_quotas.applied, aws.service_quotas.default):
        with suppress(NotFound):
            return ask(SERVICE, code)
    return None


def judge_quotas(observed: Iterable[Usage | Unread], region: str) -> Iterator[Finding]:
    """Yield an error for each quota that does not suffice, and a warning for each that is not known."""
    findings = (judge_quota(each, region) for each in observed)
    yield from (finding for finding in findings if finding.level is not Level.INFO)


def judge_quota(observed: Usage | Unread, region: str) -> Finding:
    """Return what is to be said of a quota: that it suffices, that it does not, or that it is not known."""
    if isinstance(observed, Unread):
        return not_checked("quota-unknown", observed.what, observed.refusal)
    quota, limit = observed.quota, observed.limit
    if limit is None:
        return Finding(
            level=Level.WARNING,
            code="quota-unknown",
            message=f"Whether {observed.needed} vCPUs may be started is not known: AWS names no quota "
            f"{quota.code} there.",
            remedy=f"look for '{quota.name}' in the console of Service Quotas",
        )
    if observed.used + observed.needed <= limit:
        in_use = f"{quota.name}: {observed.used} of {limit:g} vCPUs in use"
        return Finding(level=Level.INFO, code="quota", message=in_use, remedy="")
    return Finding(
        level=Level.ERROR,
        code="quota-too-small",
        message=f"{observed.needed} vCPUs are needed in {region}, where '{quota.name}' allows {limit:g} and "
        f"{observed.used} are in use.",
        remedy="ask AWS for more, which takes hours to days: aws service-quotas "
        f"request-service-quota-increase --service-code {SERVICE} --quota-code {quota.code} "
        f"--desired-value {observed.used + observed.needed} --region {region}",
    )
