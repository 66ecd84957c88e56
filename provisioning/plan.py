"""What `setup` would do, as data: the steps, what they cost per hour, and what speaks against them.

A dry run shows a plan and stops; there is no other difference between a dry run and the deed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, assert_never

from provisioning.repairs import RepairEndpoint, RepairVpc

if TYPE_CHECKING:
    from provisioning.findings import Finding
    from provisioning.pricing import CostItem
    from stacks.spec import DeploymentSpec
    from stacks.synth import SynthesizedStack


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployStack:
    """Create or update one CloudFormation stack by change set."""

    stack: SynthesizedStack
    parameters: tuple[tuple[str, str], ...]
    exists: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitHosts:
    """Wait until the hosts of an accelerator answer Systems Manager."""

    accelerator: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshHosts:
    """Replace the hosts of a group that come from an older launch template."""

    accelerator: str


Step = RepairVpc | RepairEndpoint | DeployStack | AwaitHosts | RefreshHosts


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEndpoint:
    """A service the hosts reach privately, what for, and whether its endpoint is new."""

    service: str
    reason: str
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupPlan:
    """The steps in order, the hourly price of what they make, and the findings about them."""

    spec: DeploymentSpec
    run_id: str
    attempt: str  # names this carrying-out alone, where the run id may be a standing deployment's
    expires_at: str  # ISO 8601, UTC
    steps: tuple[Step, ...]
    items: tuple[CostItem, ...]
    findings: tuple[Finding, ...]
    endpoints: tuple[PlannedEndpoint, ...] = ()
    nat_gateway: CostItem | None = None  # what is not made: the price endpoints are compared with

    @property
    def hourly(self) -> float:
        """The sum of the known hourly prices, in USD."""
        return sum(item.hourly for item in self.items)


def describe(step: Step) -> str:
    """Return the line a person reads before accepting the step."""
    match step:
        case RepairVpc() | RepairEndpoint():
            return step.describe()
        case DeployStack(stack=stack, exists=exists):
            return f"{'update' if exists else 'create'} stack {stack.name} (template {stack.digest[:12]})"
        case AwaitHosts(accelerator=accelerator, count=count):
            return f"wait until {count} {accelerator} host{'s' * (count > 1)} can take commands"
        case RefreshHosts(accelerator=accelerator):
            return f"replace {accelerator} hosts of an older launch template, at most half of them at a time"
        case _:
            assert_never(step)


def describe_network(plan: SetupPlan) -> str:
    """Return the lines that say why there are endpoints, and what a NAT gateway would cost instead."""
    if not plan.endpoints:
        return "Private endpoints: none; what SageMaker runs reads from S3 through its free gateway."
    lines = [
        f"  {endpoint.service}{'' if endpoint.is_new else ' (is there)'}: {endpoint.reason}"
        for endpoint in plan.endpoints
    ]
    charged = sum(item.hourly for item in plan.items if item.unit == "AZ-hour")
    nat = "has no price in the table for this region"
    if plan.nat_gateway is not None:
        nat = f"would cost ${plan.nat_gateway.hourly:.4f} per hour, and open a way to the internet"
    return "\n".join(
        ["Private endpoints:", *lines, f"  ${charged:.4f} per hour; a NAT gateway instead {nat}."]
    )


def describe_served(spec: DeploymentSpec) -> str:
    """Return what SageMaker will serve: an endpoint is made, and billed, with the model it serves."""
    return "".join(
        f"An endpoint on {endpoint.accelerator} comes with its model, after a plan and a price of its own: "
        "amazonei ship FILE --to sagemaker\n"
        for endpoint in spec.endpoints
    )


def plan_document(plan: SetupPlan) -> dict[str, Any]:
    """Return the plan as the JSON `setup --dry-run --output json` prints."""
    stacks = [step for step in plan.steps if isinstance(step, DeployStack)]
    return {
        "deployment": plan.spec.name,
        "region": plan.spec.region,
        "run": plan.run_id,
        "expires_at": plan.expires_at,
        "steps": [describe(step) for step in plan.steps],
        "stacks": [
            {
                "name": step.stack.name,
                "digest": step.stack.digest,
                "parameters": dict(step.parameters),
                "template": step.stack.body,
            }
            for step in stacks
        ],
        "hourly_usd": round(plan.hourly, 6),
        "items": [asdict(item) for item in plan.items],
        "endpoints": [asdict(endpoint) for endpoint in plan.endpoints],
        "nat_gateway": asdict(plan.nat_gateway) if plan.nat_gateway else None,
        "findings": [finding_document(finding) for finding in plan.findings],
    }


def finding_document(finding: Finding) -> dict[str, str]:
    """Return a finding as JSON."""
    return {
        "level": finding.level.value,
        "code": finding.code,
        "message": finding.message,
        "remedy": finding.remedy,
    }
