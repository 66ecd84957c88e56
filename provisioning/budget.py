"""Whether a run fits the money its user allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioning.benchmarking import longest_s
from provisioning.errors import PreflightFailed
from provisioning.findings import Finding, Level

if TYPE_CHECKING:
    from artifacts.measure.protocol import Protocol
    from provisioning.plan import SetupPlan

# Making the stacks, waiting for hosts to register, installing, and deleting it all again: our allowance,
# not a measurement; AWS states no bound for any of it.
ALLOWANCE_S = 45 * 60.0


def longest_run_s(plan: SetupPlan, protocol: Protocol) -> float:
    """Return a bound on how long the run's resources exist, in seconds."""
    return ALLOWANCE_S + len(plan.spec.hosts) * longest_s(protocol)


def check_budget(plan: SetupPlan, protocol: Protocol, limit_usd: float | None) -> None:
    """Raise `PreflightFailed` when the longest possible run costs more than the limit."""
    if limit_usd is None:
        return
    cost = plan.hourly * longest_run_s(plan, protocol) / 3600
    if cost <= limit_usd:
        return
    hours = longest_run_s(plan, protocol) / 3600
    finding = Finding(
        level=Level.ERROR,
        code="over-budget",
        message=f"The run could cost ${cost:.2f} ({hours:.1f} h at ${plan.hourly:.4f} per hour), "
        f"more than the ${limit_usd:.2f} allowed.",
        remedy="allow more with --budget, or measure fewer or smaller targets",
    )
    raise PreflightFailed([*plan.findings, finding])
