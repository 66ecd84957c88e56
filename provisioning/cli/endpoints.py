"""SageMaker endpoints on the command line: shipping to one, and asking one."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioning.cli.interruption import resumable
from provisioning.cli.options import Context, require_region
from provisioning.cli.session import open_hosts

if TYPE_CHECKING:
    from provisioning.endpoints import EndpointPlan
    from provisioning.operations import HostCalls
    from provisioning.shipping import Package
    from stacks.spec import DeploymentSpec
    from stacks.synth import SynthesizedStack


def ship_to_endpoint(context: Context, package: Package, *, yes: bool, dry_run: bool, resend: bool) -> None:
    """Show what shipping to the endpoint does and costs, do it, and say what is served there."""
    from artifacts.serve.sagemaker.package import build_package
    from provisioning.cli.provision import accept
    from provisioning.endpoints import perform, plan_endpoint, refuse_unguarded
    from provisioning.pricing import PriceTable

    spec = _spec(context)
    with tempfile.TemporaryDirectory(prefix="amazonei-package-") as scratch:
        with context.console.activity(f"packing {package.path.name}"):
            packed = build_package(package.path, Path(scratch))
        calls = open_hosts(context)
        stacks = _templates(context, spec)
        emulated = context.settings.emulated
        plan = plan_endpoint(calls.deployment, spec, stacks, packed, PriceTable.load(), emulated=emulated)
        plan = replace(plan, resend=resend)
        refuse_unguarded(calls, plan.step.stack.name)
        for note in plan.notes:
            context.console.warn(note)
        if dry_run:
            context.console.answer(plan.as_document(), lambda: plan_text(context, plan))
            return
        accept(context, plan_text(context, plan), yes=yes)
        what = f"shipping {package.path.name} to {plan.name}"
        with resumable(context.settings, what), context.console.activity(what):
            changed = perform(calls, plan)
    document = plan.as_document() | {"changed": changed, "emulated": emulated}
    unchanged = "" if changed else " It was so already: nothing was changed."
    context.console.answer(
        document, f"{plan.name}: serving {package.digest[:12]} ({package.lane}).{unchanged}"
    )


def _spec(context: Context) -> DeploymentSpec:
    from provisioning.deployment_request import deployment_spec

    settings = context.settings
    return deployment_spec(context.document, settings.name, require_region(settings), {})


def _templates(context: Context, spec: DeploymentSpec) -> tuple[SynthesizedStack, ...]:
    from stacks.synth import synthesize
    from stacks.template_cache import TemplateCache, cache_directory

    with context.console.activity("synthesising the templates"):
        return synthesize(spec, TemplateCache(cache_directory()))


def plan_text(context: Context, plan: EndpointPlan) -> str:
    """Return the plan as a person reads it before accepting."""
    steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(plan.steps(), start=1))
    rows = [(item.label, f"{item.quantity:g}", f"{item.hourly:.4f}", item.basis) for item in plan.cost.items]
    table = context.console.table(("item", "quantity", "$/h", "price basis"), rows, to_stderr=True)
    endpoint = plan.endpoint
    price = "an unknown price" if plan.cost.missing else f"${plan.cost.hourly:.4f}"
    growth = (
        "" if endpoint.max_count == endpoint.count else (f"; up to {endpoint.max_count} instances under load")
    )
    return (
        f"Plan for endpoint {plan.name}:\n{steps}\n\n{table}\n"
        f"Total: {price} per hour for {endpoint.count} {endpoint.instance_type}{growth}."
    )


def ask_endpoint(
    context: Context, calls: HostCalls, accelerator: str | None, body: dict[str, Any]
) -> dict[str, Any]:
    """Send one request to the endpoint meant, and return its answer."""
    from provisioning.standing_endpoints import choose_standing, invoke

    name = choose_standing(calls.deployment, accelerator)
    with context.console.activity(f"asking {name}"):
        return invoke(calls, name, body)
