"""Set up a deployment: decide what to make (`plan_setup`), then make it (`perform`)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_never

from provisioning.commands import wait_for_hosts
from provisioning.deploying import StackRequest, deploy_stack
from provisioning.errors import PreflightFailed
from provisioning.findings import Finding, Level
from provisioning.plan import AwaitHosts, DeployStack, SetupPlan, Step
from provisioning.preflight import judge, observe, place
from provisioning.pricing import EndpointCharge, estimate
from stacks.closure import ZONES, interface_services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from provisioning.aws import Aws
    from provisioning.preflight import Observed, Placement
    from provisioning.pricing import PriceMissing, PriceTable
    from provisioning.waiting import Clock
    from stacks.spec import DeploymentSpec
    from stacks.synth import SynthesizedStack

# A new host boots, prepares itself and registers; AWS states no bound, users report minutes
# (registration tails over 120 s, and a default association that blocks commands for a minute).
HOSTS_READY_S = 15 * 60.0


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
            run_id=f"{start:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
            expires_at=expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )


def plan_setup(
    spec: DeploymentSpec,
    stacks: tuple[SynthesizedStack, ...],
    aws: Aws,
    prices: PriceTable,
    identity: RunIdentity,
) -> SetupPlan:
    """Return what setting up would do and cost; raise `PreflightFailed` with all findings when it cannot."""
    observed = observe(aws, spec)
    cost = estimate(prices, spec.region, spec.hosts, endpoint_charge(spec))
    findings = (*judge(spec, observed), *(_unpriced(missing) for missing in cost.missing))
    if any(finding.blocks for finding in findings):
        raise PreflightFailed(findings)
    existing = {stack.name for stack in aws.cloudformation.list_stacks_of(spec.name)}
    placement = place(spec, observed)
    steps = tuple(_steps(spec, stacks, existing, _values(observed, placement, identity)))
    return SetupPlan(
        spec=spec,
        run_id=identity.run_id,
        expires_at=identity.expires_at,
        steps=steps,
        items=cost.items,
        findings=findings,
    )


def endpoint_charge(spec: DeploymentSpec) -> EndpointCharge:
    """Return what is billed for the network: interface endpoints, once per zone they are in."""
    zones = len(spec.network.subnet_ids) if spec.network.vpc_id else ZONES
    return EndpointCharge(endpoints=len(interface_services(spec)), zones=zones)


def _unpriced(missing: PriceMissing) -> Finding:
    return Finding(level=Level.WARNING, code=missing.code, message=missing.message, remedy=missing.hint)


def _values(observed: Observed, placement: Placement, identity: RunIdentity) -> dict[str, Any]:
    return {
        "RunId": identity.run_id,
        "ExpiresAt": identity.expires_at,
        "FirstZone": placement.first_zone,
        "SecondZone": placement.second_zone,
        "S3PrefixListId": observed.s3_prefix_list,
        "HostZone": placement.host_zones,
    }


def _steps(
    spec: DeploymentSpec,
    stacks: tuple[SynthesizedStack, ...],
    existing: set[str],
    values: dict[str, Any],
) -> Iterator[Step]:
    for stack in stacks:
        parameters = tuple(_parameters(stack, values))
        yield DeployStack(stack=stack, parameters=parameters, exists=stack.name in existing)
    for host in spec.hosts:
        yield AwaitHosts(accelerator=host.accelerator, count=host.count)


def _parameters(stack: SynthesizedStack, values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the parameters this template takes; the rest keep the template's defaults."""
    for parameter in stack.parameters:
        value = values.get(parameter.name)
        if parameter.name == "HostZone":
            value = value[stack.hosts[0].accelerator] if value and stack.hosts else None
        if value is not None:
            yield parameter.name, value


def perform(plan: SetupPlan, aws: Aws, clock: Clock, say: Callable[[str], None]) -> dict[str, str]:
    """Carry the plan out; return the outputs of all its stacks. Repeating it changes nothing."""
    outputs: dict[str, str] = {}
    for step in plan.steps:
        match step:
            case DeployStack():
                outputs |= _deploy(plan, step, aws, clock, say)
            case AwaitHosts(accelerator=accelerator, count=count):
                tags = {"amazonei:deployment": plan.spec.name, "amazonei:accelerator": accelerator}
                wait_for_hosts(aws, tags, count, deadline_s=HOSTS_READY_S, on_progress=say, clock=clock)
            case _:
                assert_never(step)
    return outputs


def _deploy(
    plan: SetupPlan, step: DeployStack, aws: Aws, clock: Clock, say: Callable[[str], None]
) -> Mapping[str, str]:
    return deploy_stack(
        aws,
        _request(plan, step),
        on_event=lambda event: event.tell(say),
        clock=clock,
        on_heartbeat=lambda waited: say(f"{step.stack.name} is still going after {waited:.0f} s"),
    )


def _request(plan: SetupPlan, step: DeployStack) -> StackRequest:
    return StackRequest(
        name=step.stack.name,
        body=step.stack.body,
        parameters=dict(step.parameters),
        tags={
            "amazonei:deployment": plan.spec.name,
            "amazonei:run": plan.run_id,
            "amazonei:expires-at": plan.expires_at,
        },
        # The run id before the first call: a repeated call after a lost answer is the same request.
        token=f"{plan.run_id}-{step.stack.digest[:12]}",
    )
