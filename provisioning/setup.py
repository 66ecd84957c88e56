"""Set up a deployment: decide what to make (`plan_setup`), then make it (`perform`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, assert_never

from provisioning.deploying import StackRequest, deploy_stack
from provisioning.errors import PreflightFailed
from provisioning.findings import Finding, Level
from provisioning.guarding import guard_times
from provisioning.network import adopt, observe_network, plan_repairs
from provisioning.plan import AwaitHosts, DeployStack, PlannedEndpoint, RefreshHosts, SetupPlan, Step
from provisioning.preflight import judge, observe, place
from provisioning.pricing import EndpointCharge, estimate, nat_gateway
from provisioning.refreshing import refresh_hosts
from provisioning.registration import wait_for_hosts
from provisioning.repairs import RepairEndpoint, RepairVpc, repair
from provisioning.standing import RunIdentity, judge_standing
from stacks.closure import ZONES, created_needs, needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from provisioning.aws import Aws
    from provisioning.aws.cloudformation import StackEvent
    from provisioning.preflight import Observed, Placement
    from provisioning.pricing import PriceMissing, PriceTable
    from provisioning.waiting import Clock
    from stacks.spec import DeploymentSpec
    from stacks.synth import SynthesizedStack

# A new host boots, prepares itself and registers; AWS states no bound, users report minutes
# (registration tails over 120 s, and a default association that blocks commands for a minute).
HOSTS_READY_S = 15 * 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What stands after a plan was carried out, and whether anything had to be changed for it."""

    outputs: Mapping[str, str]
    changed: bool


def settle_spec(aws: Aws, spec: DeploymentSpec) -> DeploymentSpec:
    """Return the spec with what an existing network already has; a new network leaves it as it is."""
    if spec.network.vpc_id is None:
        return spec
    return adopt(spec, observe_network(aws, spec))


def plan_setup(
    spec: DeploymentSpec,
    stacks: tuple[SynthesizedStack, ...],
    aws: Aws,
    prices: PriceTable,
    identity: RunIdentity,
    *,
    refresh: bool = False,
) -> SetupPlan:
    """Return what setting up would do and cost; raise `PreflightFailed` with all findings when it cannot.

    The spec is a settled one (`settle_spec`), and the stacks were made from it. `identity` is a fresh one;
    a deployment that stands keeps its own. With `refresh` hosts of groups follow a changed launch template.
    """
    observed = observe(aws, spec)
    repairs = plan_repairs(spec, observed.network)
    cost = estimate(prices, spec.region, spec.hosts, endpoint_charge(spec, repairs))
    existing = aws.cloudformation.list_stacks_of(spec.name)
    findings = (
        *judge(spec, observed),
        *judge_standing(spec, [stack.name for stack in stacks], existing, datetime.now(UTC)),
        *(_unpriced(missing) for missing in cost.missing),
    )
    if any(finding.blocks for finding in findings):
        raise PreflightFailed(findings)
    attempt, identity = identity.run_id, identity.continued(existing, spec)
    values = _values(observed, place(spec, observed), identity) | _guard_times(spec, identity)
    deploys = _steps(spec, stacks, {stack.name for stack in existing}, values)
    return SetupPlan(
        spec=spec,
        run_id=identity.run_id,
        attempt=attempt,
        expires_at=identity.expires_at,
        steps=(*repairs, *deploys, *_refreshes(spec, wanted=refresh)),
        items=cost.items,
        findings=findings,
        endpoints=planned_endpoints(spec),
        nat_gateway=nat_gateway(prices, spec.region),
    )


def planned_endpoints(spec: DeploymentSpec) -> tuple[PlannedEndpoint, ...]:
    """Return the endpoints the hosts will use, new or there already."""
    created = created_needs(spec)
    return tuple(
        PlannedEndpoint(service=need.service, reason=need.reason, is_new=need in created)
        for need in needs(spec)
    )


def endpoint_charge(
    spec: DeploymentSpec, repairs: Sequence[RepairVpc | RepairEndpoint] = ()
) -> EndpointCharge:
    """Return what is billed for the network: new endpoints, zones added to those there, and balancers."""
    zones = len(spec.network.subnet_ids) if spec.network.vpc_id else ZONES
    return EndpointCharge(
        endpoints=sum(need.billed for need in created_needs(spec)),
        zones=zones,
        added=sum(len(step.subnets) for step in repairs if isinstance(step, RepairEndpoint)),
        balancers=sum(host.balancer is not None for host in spec.hosts),
    )


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
        "RootDeviceName": {name: image.root_device for name, image in observed.images.items() if image},
    }


def _guard_times(spec: DeploymentSpec, identity: RunIdentity) -> dict[str, str]:
    return guard_times(identity.ends, spec.ttl_s) if identity.ends is not None else {}


def _steps(
    spec: DeploymentSpec,
    stacks: tuple[SynthesizedStack, ...],
    existing: set[str],
    values: dict[str, Any],
) -> Iterator[Step]:
    for stack in stacks:
        if any(parameter.name == "ModelDataUrl" for parameter in stack.parameters):
            continue  # an endpoint is deployed with the model it serves
        parameters = tuple(_parameters(stack, values))
        yield DeployStack(stack=stack, parameters=parameters, exists=stack.name in existing)
    for host in spec.hosts:
        yield AwaitHosts(accelerator=host.accelerator, count=host.count)


def _refreshes(spec: DeploymentSpec, *, wanted: bool) -> Iterator[RefreshHosts]:
    for host in spec.hosts:
        if wanted and host.is_group:
            yield RefreshHosts(accelerator=host.accelerator)


def _parameters(stack: SynthesizedStack, values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the parameters this template takes; the rest keep the template's defaults."""
    of_hosts: dict[str, str | None] = {}
    for host in stack.hosts:
        of_hosts["HostZone"] = values["HostZone"].get(host.accelerator)
        of_hosts["RootDeviceName"] = values["RootDeviceName"].get(host.image_parameter)
    known = values | {"HostZone": None, "RootDeviceName": None} | of_hosts
    for parameter in stack.parameters:
        if known.get(parameter.name):
            yield parameter.name, known[parameter.name]


def perform(plan: SetupPlan, aws: Aws, clock: Clock, say: Callable[[str], None]) -> Deployed:
    """Carry the plan out; return the outputs of all its stacks. Repeating it changes nothing."""
    outputs: dict[str, str] = {}
    changed = False
    for step in plan.steps:
        match step:
            case RepairVpc() | RepairEndpoint():
                say(step.describe())
                repair(aws, step, clock)
                changed = True
            case DeployStack():
                deployed = _deploy(plan, step, aws, clock, say)
                outputs |= deployed.outputs
                changed |= deployed.changed
            case AwaitHosts(accelerator=accelerator, count=count):
                tags = {"amazonei:deployment": plan.spec.name, "amazonei:accelerator": accelerator}
                wait_for_hosts(aws, tags, count, deadline_s=HOSTS_READY_S, on_progress=say, clock=clock)
            case RefreshHosts(accelerator=accelerator):
                changed |= refresh_hosts(aws, plan.spec.name, accelerator, clock=clock, say=say)
            case _:
                assert_never(step)
    return Deployed(outputs=outputs, changed=changed)


def _deploy(
    plan: SetupPlan, step: DeployStack, aws: Aws, clock: Clock, say: Callable[[str], None]
) -> Deployed:
    heard: list[StackEvent] = []

    def hear(event: StackEvent) -> None:
        heard.append(event)
        event.tell(say)

    outputs = deploy_stack(
        aws,
        _request(plan, step),
        on_event=hear,
        clock=clock,
        on_heartbeat=lambda waited: say(f"{step.stack.name} is still going after {waited:.0f} s"),
    )
    return Deployed(outputs=outputs, changed=bool(heard))


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
        # Chosen before the first call: a repeated call after a lost answer is the same request.
        token=f"{plan.attempt}-{step.stack.digest[:12]}",
    )
