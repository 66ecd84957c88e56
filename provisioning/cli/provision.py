"""`setup`, `status`, `teardown`, `audit`: what exists, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from provisioning.cli.deployment_options import deployment_options
from provisioning.cli.interruption import resumable
from provisioning.cli.keeping import bring_artifacts_home
from provisioning.cli.options import Context, require_region, shared_options
from provisioning.cli.session import open_aws, open_hosts

if TYPE_CHECKING:
    from provisioning.audit import Leftover
    from provisioning.aws import Aws
    from provisioning.cli.console import Console
    from provisioning.errors import LeftBehind
    from provisioning.hosts import HostState
    from provisioning.plan import SetupPlan
    from provisioning.setup import Deployed
    from stacks.spec import DeploymentSpec


@click.command(short_help="Provision a private deployment in one shot.")
@deployment_options
@click.option(
    "--refresh", is_flag=True, help="Replace hosts of groups that come from an older launch template."
)
@click.option("--dry-run", is_flag=True, help="Show the plan and its price; make nothing.")
@click.option("--yes", is_flag=True, help="Accept the plan without the question.")
@click.option("--allow-retired", is_flag=True, help="With --emulate: allow accelerators AWS has retired.")
@shared_options
def setup(
    context: Context, *, refresh: bool, dry_run: bool, yes: bool, allow_retired: bool, **wanted: Any
) -> None:
    """Provision a private network, access and hosts in one shot, ready to take a model.

    Repeating it brings a standing deployment to what is asked for. Hosts of a group stay as they are, without
    --refresh.

    \b
    Examples:
      amazonei-setup --region us-west-2 --accelerator inf2.xlarge
      amazonei-setup --region us-west-2 --accelerator c7i.xlarge --accelerator g6.xlarge --ttl 2h
      amazonei-setup --region us-west-2 --emulate --yes
    """
    from provisioning.setup import perform
    from provisioning.waiting import SystemClock

    spec = wanted_spec(context, wanted, allow_retired=allow_retired)
    plan, aws = make_plan(context, spec, refresh=refresh)
    if dry_run:
        from provisioning.plan import plan_document

        context.console.answer(plan_document(plan), lambda: plan_text(context.console, plan))
        return
    accept(context, plan_text(context.console, plan), yes=yes)
    with (
        resumable(context.settings, f"setting up {spec.name}"),
        context.console.activity(f"setting up {spec.name}"),
    ):
        deployed = perform(plan, aws, SystemClock(), context.console.detail)
    _answer_ready(context, plan, deployed)


def _answer_ready(context: Context, plan: SetupPlan, deployed: Deployed) -> None:
    spec = plan.spec
    document = {
        "deployment": spec.name,
        "region": spec.region,
        "emulated": context.settings.emulated,
        "run": plan.run_id,
        "expires_at": plan.expires_at,
        "hourly_usd": round(plan.hourly, 6),
        "changed": deployed.changed,
        "outputs": dict(deployed.outputs),
    }
    hosts = ", ".join(host.accelerator for host in spec.hosts) or "no hosts"
    ready = f"{spec.name} is ready: {hosts} in {spec.region}."
    ready += "" if deployed.changed else " It was so already: nothing was changed."
    next_line = f"Remove everything with: {context.settings.command('teardown')}"
    context.console.answer(document, f"{ready}\n{next_line}")


def wanted_spec(context: Context, wanted: dict[str, Any], *, allow_retired: bool) -> DeploymentSpec:
    """Return the deployment the options and the configuration file ask for.

    Raises `TargetRetired` for a retired accelerator before anything is asked of AWS, unless it is emulated
    and explicitly allowed.
    """
    from artifacts.targets import find, refuse_retired
    from provisioning.deployment_request import deployment_spec

    settings = context.settings
    spec = deployment_spec(context.document, settings.name, require_region(settings), wanted)
    for host in spec.hosts:
        if not (settings.emulated and allow_retired):
            refuse_retired(find(host.accelerator))
    return spec


def make_plan(context: Context, spec: DeploymentSpec, *, refresh: bool = False) -> tuple[SetupPlan, Aws]:
    """Return the plan and the AWS edge it was made with."""
    from provisioning.pricing import PriceTable
    from provisioning.setup import plan_setup, settle_spec
    from provisioning.standing import RunIdentity
    from stacks.synth import synthesize
    from stacks.template_cache import TemplateCache, cache_directory

    aws = open_aws(context)
    aws.sts.caller_identity()  # no synthesis for somebody AWS does not know
    spec = settle_spec(aws, spec)
    with context.console.activity("synthesising the templates"):
        stacks = synthesize(spec, TemplateCache(cache_directory()))
    identity = RunIdentity.new(spec.ttl_s)
    with context.console.activity("checking the account and the region"):
        plan = plan_setup(spec, stacks, aws, PriceTable.load(), identity, refresh=refresh)
    for finding in plan.findings:
        context.console.warn(f"{finding.message} ({finding.remedy})")
    return plan, aws


def plan_text(console: Console, plan: SetupPlan) -> str:
    """Return the plan as a person reads it before accepting."""
    from provisioning.plan import describe, describe_network, describe_served

    rows = [
        (
            item.label,
            f"{item.quantity:g}",
            f"{item.unit_price:.4f}/{item.unit}",
            f"{item.hourly:.4f}",
            item.basis,
        )
        for item in plan.items
    ]
    table = console.table(("item", "quantity", "$ each", "$/h", "price basis"), rows, to_stderr=True)
    priced = f"{table}\n\n" if rows else ""
    steps = "\n".join(f"  {number}. {describe(step)}" for number, step in enumerate(plan.steps, start=1))
    return (
        f"Plan for {plan.spec.name} in {plan.spec.region}:\n{steps}\n\n{priced}"
        f"{describe_network(plan)}\n{describe_served(plan.spec)}"
        f"Total: ${plan.hourly:.4f} per hour, until {plan.expires_at} at the latest for the hosts."
    )


def accept(context: Context, text: str, *, yes: bool) -> None:
    """Show what will happen and ask; `--yes` accepts. Raises click's Abort when declined."""
    context.console.say(text)
    if not yes:
        click.confirm("Go on?", abort=True, err=True)


@click.command(short_help="Show what exists, what it costs, how long it lives.")
@click.option("--hosts", is_flag=True, help="Also ask each host what it serves; takes seconds.")
@shared_options
def status(context: Context, *, hosts: bool) -> None:
    """Show what exists, what it costs per hour, what it has cost so far, and how long it has to live."""
    from datetime import UTC, datetime

    from provisioning.pricing import PriceTable
    from provisioning.status import observe_status

    now = datetime.now(UTC)
    report = observe_status(open_aws(context), context.settings.name, PriceTable.load(), now)
    states = _host_states(context) if hosts and report.items else ()

    def text() -> str:
        rows = [(item.kind, item.id, item.state) for item in report.items]
        if not rows:
            return report.sentence()
        shown = f"{report.sentence()}\n\n{context.console.table(('kind', 'id', 'state'), rows)}".rstrip()
        served = [state.row for state in states]
        heads = ("host", "version", "lane", "health", "up", "requests", "errors")
        return f"{shown}\n\n{context.console.table(heads, served)}".rstrip() if served else shown

    document = report.as_document() | {"emulated": context.settings.emulated}
    if hosts:
        document["hosts"] = [state.as_document() for state in states]
    context.console.answer(document, text)


def _host_states(context: Context) -> tuple[HostState, ...]:
    from provisioning.hosts import observe_hosts

    with context.console.activity("asking the hosts"):
        return observe_hosts(open_hosts(context))


@click.command(short_help="Remove everything, then ask AWS again.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed; remove nothing.")
@click.option("--yes", is_flag=True, help="Remove without the question.")
@click.option(
    "--keep-artifacts", is_flag=True, help="Bring what was shipped to build/amazonei/NAME/kept first."
)
@shared_options
def teardown(context: Context, *, dry_run: bool, yes: bool, keep_artifacts: bool) -> int:
    """Remove everything of the deployment, then ask AWS again; exit 0 only when nothing is left."""
    from provisioning import teardown as core
    from provisioning.waiting import SystemClock

    aws = open_aws(context)
    name = context.settings.name
    observed = core.observe(aws, name)
    steps = core.plan_teardown(observed)
    text = "\n".join(f"  {number}. {core.describe(step)}" for number, step in enumerate(steps, start=1))
    if dry_run:
        document = {"deployment": name, "steps": [core.describe(step) for step in steps]}
        context.console.answer(document, f"Teardown of {name}:\n{text or '  nothing to remove'}")
        return 0
    if steps:
        accept(context, f"Teardown of {name}:\n{text}", yes=yes)
    if keep_artifacts:
        bring_artifacts_home(context, aws, observed)
    clock = SystemClock()
    left: tuple[Leftover, ...] = ()
    with resumable(context.settings, f"tearing {name} down"):
        with context.console.activity(f"tearing {name} down"):
            failures = core.perform(aws, steps, say=context.console.detail, clock=clock)
        with context.console.activity("asking AWS what is left"):
            try:
                core.verify_gone(aws, name, failures=failures, clock=clock)
            except core.StillThere as error:
                context.console.say(error.message)
                left = error.leftovers
    text = f"{name} is gone: AWS was asked again and shows nothing of it."
    return answer_leftovers(context, name, left, text)


def left_behind(context: Context, left: tuple[Leftover, ...]) -> LeftBehind | None:
    """Return the error that names each thing that is left, or None when nothing is."""
    from provisioning.errors import LeftBehind

    if not left:
        return None
    lines = "\n".join(f"  {thing.describe()} -> {thing.hint}" for thing in left)
    names = sorted({thing.deployment for thing in left} - {""}) or [context.settings.name]
    commands = (context.settings.of(name).command("teardown --yes") for name in names)
    return LeftBehind(f"Left behind:\n{lines}", f"Finish with: {' && '.join(commands)}")


def answer_leftovers(context: Context, name: str | None, left: tuple[Leftover, ...], clean: str) -> int:
    """Answer with what is left, or with the words for nothing; return the exit code."""
    from dataclasses import asdict

    document = {"deployment": name, "verified": not left, "left": [asdict(thing) for thing in left]}
    return context.console.answer(document, "" if left else clean, left_behind(context, left))


@click.command(short_help="Find what a deployment left behind.")
@click.option("--all-regions", is_flag=True, help="Look in every region the account can use.")
@click.option(
    "--any", "any_deployment", is_flag=True, help="Look for what any deployment left, not only --name."
)
@shared_options
def audit(context: Context, *, all_regions: bool, any_deployment: bool) -> int:
    """Find what a deployment left behind; exit 0 when there is nothing, 6 when there is."""
    from provisioning.audit import audit as look

    aws = open_aws(context)
    name = None if any_deployment else context.settings.name
    with context.console.activity("asking AWS"):
        left = look_everywhere(aws, name) if all_regions else look(aws, name)
    whose = "any deployment" if name is None else name
    return answer_leftovers(context, name, left, f"Nothing is left of {whose}.")


def look_everywhere(aws: Aws, deployment: str | None) -> tuple[Leftover, ...]:
    """Return what is left in every region the account may use; IAM is looked at once."""
    from provisioning.audit import audit as look

    elsewhere = (aws.in_region(region) for region in aws.ec2.regions() if region != aws.region)
    return (
        *look(aws, deployment),
        *(left for other in elsewhere for left in look(other, deployment, with_global=False)),
    )
