"""The identity of a run, and what it means that a deployment stands already."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from provisioning.deploying import STILLBORN
from provisioning.findings import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from provisioning.aws.cloudformation import StackRecord
    from stacks.spec import DeploymentSpec

RUN_TIME = "%Y%m%dT%H%M%S"
EXPIRY_TIME = "%Y-%m-%dT%H:%M:%SZ"  # ISO 8601, UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """What is particular to this run: the id and the expiry that every resource is tagged with."""

    run_id: str
    expires_at: str

    @classmethod
    def new(cls, ttl_s: int, now: datetime | None = None) -> RunIdentity:
        """Return a fresh identity that expires `ttl_s` seconds from now."""
        start = now or datetime.now(UTC)
        expires = start + timedelta(seconds=ttl_s)
        return cls(
            run_id=f"{start:{RUN_TIME}}-{secrets.token_hex(3)}",
            expires_at=expires.strftime(EXPIRY_TIME),
        )

    @property
    def began(self) -> datetime | None:
        """When the run began, or None when its id is not of our making (the CDK's)."""
        return _moment(self.run_id.partition("-")[0], RUN_TIME)

    @property
    def ends(self) -> datetime | None:
        """When its time to live ends, or None when it never does."""
        return _moment(self.expires_at, EXPIRY_TIME)

    def continued(self, stacks: Iterable[StackRecord], spec: DeploymentSpec) -> RunIdentity:
        """Return the identity a standing deployment was made with, else this fresh one.

        Setting up again then changes nothing, and the expiry stays true: the timers of the hosts run since
        they booted. A deployment that is to live longer or shorter than before gets the fresh identity.
        """
        for stack in stacks:
            if stack.name == spec.name and not stack.in_review and stack.status not in STILLBORN:
                former = RunIdentity(
                    run_id=stack.parameters.get("RunId", ""),
                    expires_at=stack.parameters.get("ExpiresAt", ""),
                )
                return former if former.lives_for(spec.ttl_s) else self
        return self

    def lives_for(self, ttl_s: int) -> bool:
        """Return whether this is how long the run lives, in seconds."""
        return (
            self.began is not None
            and self.ends is not None
            and (self.ends - self.began) == timedelta(seconds=ttl_s)
        )


def _moment(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def judge_standing(
    spec: DeploymentSpec, wanted: Sequence[str], stacks: Iterable[StackRecord], now: datetime
) -> Iterator[Finding]:
    """Yield what is to be said about the deployment's stacks that exist; `wanted` are the names to deploy."""
    for stack in stacks:
        if stack.name not in wanted:
            yield Finding(
                level=Level.WARNING,
                code="stack-not-asked-for",
                message=f"Stack {stack.name} of {spec.name} stands, is not asked for here, and stays.",
                remedy=f"remove the whole deployment with: amazonei teardown --name {spec.name}",
            )
        ends = _moment(stack.parameters.get("ExpiresAt", ""), EXPIRY_TIME)
        if stack.name == spec.name and ends is not None and ends <= now:
            yield Finding(
                level=Level.ERROR,
                code="expired",
                message=f"The time of {spec.name} ended at {ends:%Y-%m-%d %H:%M} UTC: its hosts are off.",
                remedy=f"remove it with: amazonei teardown --name {spec.name}; then set it up again",
            )
