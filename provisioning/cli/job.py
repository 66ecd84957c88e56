"""`amazonei run`: the whole job over one or many targets, always ending in teardown."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioning.cli.caching import cache_bucket_option, shared_cache
from provisioning.cli.compiling import sign_result
from provisioning.cli.interruption import resumable
from provisioning.cli.keys import public_key_option, required_signer, sign_key_option, signing_key
from provisioning.cli.options import Context, shared_options
from provisioning.cli.provision import accept, left_behind, make_plan, plan_text, wanted_spec
from provisioning.cli.wheels import gather_wheels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from artifacts.compile.request import CompileRequest, CompileResult
    from artifacts.measure.protocol import Protocol
    from artifacts.measure.results import Results, TargetResult
    from artifacts.signature import PublicKey
    from provisioning.audit import Leftover
    from provisioning.aws import Aws
    from provisioning.errors import HostFailed, Interrupted
    from provisioning.plan import SetupPlan
    from provisioning.ranking import Ranking
    from provisioning.results import ResultsFolder
    from provisioning.run import Stage
    from provisioning.wheelhouse import Gathered


@click.command(short_help="The whole job, always ending in teardown.")
@click.argument("configuration", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), help="Spend at most this many USD.")
@click.option("--keep", is_flag=True, help="Leave the deployment standing at the end.")
@click.option("--resume", is_flag=True, help="Skip targets whose results are on disk already.")
@click.option("--yes", is_flag=True, help="Accept the plan without the question.")
@click.option("--allow-retired", is_flag=True, help="With --emulate: allow accelerators AWS has retired.")
@cache_bucket_option
@sign_key_option
@public_key_option
@shared_options
def run(
    context: Context,
    *,
    budget: float | None,
    keep: bool,
    resume: bool,
    yes: bool,
    allow_retired: bool,
    **given: Any,
) -> int:
    """Compile, set up, ship, measure and rank what CONFIGURATION asks for, then remove everything.

    \b
    Examples:
      amazonei run --emulate examples/digits.toml
      amazonei run --budget 5 --region us-west-2 amazonei.toml
    """
    key, signer = signing_key(context, given["sign_key"]), required_signer(context, given["public_key"])
    job = plan_job(context, budget, signer, allow_retired=allow_retired)
    # Nothing an emulated plan makes costs anything, so there is nothing to accept.
    ending = "" if keep else "\nAt the end everything is removed again, and AWS is asked whether it is gone."
    accept(context, plan_text(context.console, job.plan) + ending, yes=yes or context.settings.emulate)
    try:
        compiled = compile_signed(context, job, key, given["cache_bucket"])
        wheels = {each.target: gather_wheels(context, each.target) for each in compiled}
    except KeyboardInterrupt:
        raise interrupted(context, "nothing had been made yet", allow_retired=allow_retired) from None
    try:
        targets = measure_all(context, job, compiled, wheels, resume=resume)
    except BaseException as error:
        # Whatever happened, nothing may stay behind.
        if not keep:
            clean_up(context, job.aws, error)
        if isinstance(error, KeyboardInterrupt):
            state = "what was made still stands" if keep else "what had been made was removed"
            raise interrupted(context, state, allow_retired=allow_retired) from None
        raise
    left = None if keep else remove(context, job.aws)
    return answer(context, job, tuple(targets), left)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """A job that was planned: what would be made, compiled and measured."""

    plan: SetupPlan
    aws: Aws
    requests: tuple[CompileRequest, ...]
    protocol: Protocol
    model: str
    traffic_rps: float | None
    work_dir: Path
    signer: PublicKey | None


def plan_job(
    context: Context, budget: float | None, signer: PublicKey | None, *, allow_retired: bool
) -> PlannedJob:
    """Check the whole configuration and plan the deployment; nothing is made."""
    from artifacts.errors import BadRequest
    from artifacts.measure.protocol import Protocol
    from provisioning.benchmarking import time_for
    from provisioning.budget import check_budget
    from provisioning.compiling import compile_request
    from provisioning.config import parse_benchmark, parse_budget, parse_model

    model = parse_model(context.document)
    measuring = parse_benchmark(context.document)
    limit = budget if budget is not None else parse_budget(context.document)
    protocol = Protocol.from_json(measuring.protocol_document())
    time_for(protocol)  # refuses what takes a host too long, while nothing was made
    spec = wanted_spec(context, {}, allow_retired=allow_retired)
    if not spec.hosts:
        raise BadRequest(
            "The configuration names no host to compare.",
            "Write [[targets]] for each; an endpoint alone takes: setup, compile, ship --to sagemaker.",
        )
    wanted = {"inputs": (), "atol": None, "method": None, "out": None}
    requests = tuple(
        compile_request(context.document, context.settings, None, wanted | {"target": host.accelerator})
        for host in spec.hosts
    )
    plan, aws = make_plan(context, spec)
    check_budget(plan, protocol, limit)
    return PlannedJob(
        plan=plan,
        aws=aws,
        requests=requests,
        protocol=protocol,
        model=model.source,
        traffic_rps=measuring.traffic_rps,
        work_dir=context.settings.work_dir,
        signer=signer,
    )


def compile_signed(
    context: Context, job: PlannedJob, key: EllipticCurvePrivateKey | None, cache_bucket: str | None
) -> tuple[CompileResult, ...]:
    """Compile for every target, and sign; what no host would take ends the job while it is free."""
    from provisioning.run import compile_all
    from provisioning.shipping import open_package

    compiled = compile_all(job.requests, _stage(context), shared_cache(context, cache_bucket))
    for warning in dict.fromkeys(text for each in compiled for text in each.warnings):
        context.console.warn(warning)
    for each in compiled:
        sign_result(each, key)
        open_package(each.artifact, job.signer)
    return compiled


def measure_all(
    context: Context,
    job: PlannedJob,
    compiled: tuple[CompileResult, ...],
    wheels: Mapping[str, Gathered | None],
    *,
    resume: bool,
) -> list[TargetResult]:
    """Set up the deployment and measure target after target: they would disturb each other at once."""
    from provisioning.cli.session import host_calls
    from provisioning.deployment import observe_deployment
    from provisioning.run import Measuring, measure_target
    from provisioning.setup import perform
    from provisioning.waiting import SystemClock

    folder = _folder(context, job)
    kept = {
        each.target: folder.finished(each.target, each.digest, job.protocol) if resume else None
        for each in compiled
    }
    if all(result is not None for result in kept.values()):
        return [result for result in kept.values() if result is not None]
    with context.console.activity(f"setting up {job.plan.spec.name}"):
        perform(job.plan, job.aws, SystemClock(), context.console.detail)
    calls = host_calls(context, job.aws, observe_deployment(job.aws, job.plan.spec.name))
    measuring = Measuring(
        protocol=job.protocol, folder=folder, stage=_stage(context), signer=job.signer, wheels=wheels
    )
    return [
        kept[host.accelerator] or measure_target(calls, host, artifact, measuring)
        for host, artifact in zip(job.plan.spec.hosts, compiled, strict=True)
    ]


def _folder(context: Context, job: PlannedJob) -> ResultsFolder:
    from provisioning.results import ResultsFolder

    return ResultsFolder(
        folder=job.work_dir / "results",
        deployment=context.settings.name,
        region=context.settings.region,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        model=job.model,
    )


def _stage(context: Context) -> Stage:
    from provisioning.run import Stage

    return Stage(activity=context.console.activity, say=context.console.detail)


def remove(context: Context, aws: Aws) -> tuple[Leftover, ...]:
    """Remove the deployment and return what AWS still shows of it when asked again."""
    from provisioning.errors import AwsError, LeftBehind
    from provisioning.teardown import StillThere, teardown
    from provisioning.waiting import SystemClock

    name = context.settings.name
    doing = f"tearing {name} down"
    with (
        resumable(context.settings, doing),
        context.console.activity(f"{doing} and asking AWS what is left"),
    ):
        try:
            teardown(aws, name, say=context.console.detail, clock=SystemClock())
        except StillThere as error:
            return error.leftovers
        except AwsError as error:
            finish = f"{error.hint} Finish with: {context.settings.command('teardown --yes')}".lstrip()
            raise LeftBehind(f"{name} could not be removed: {error.message}", finish) from error
    return ()


def clean_up(context: Context, aws: Aws, error: BaseException) -> None:
    """Remove the deployment after an error; raise `LeftBehind` when that fails, which then matters more."""
    why = "Interrupted" if isinstance(error, KeyboardInterrupt) else f"Stopped: {error}"
    context.console.say(f"{why}\nRemoving what was made; a second interruption leaves it standing.")
    problem = left_behind(context, remove(context, aws))
    if problem is not None:
        raise problem from error


def interrupted(context: Context, state: str, *, allow_retired: bool) -> Interrupted:
    """Return the error of an interrupted job: what state it left, and the command that goes on."""
    from provisioning.errors import Interrupted

    words = ["run", "--resume", *(["--allow-retired"] if allow_retired else [])]
    words += [str(context.settings.config)] if context.settings.config else []
    return Interrupted(
        f"Interrupted; {state}.",
        f"Go on, without measuring again what was measured: {context.settings.command(shlex.join(words))}",
    )


def answer(
    context: Context, job: PlannedJob, targets: tuple[TargetResult, ...], left: tuple[Leftover, ...] | None
) -> int:
    """Rank, write the report and print the result; return the exit code, also of what failed or is left."""
    from artifacts.measure.results import save
    from provisioning.cli.measuring import is_balanced, rank_results, ranking_text, write_report

    results = _folder(context, job).document(targets)
    path = job.work_dir / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    save(results, path)
    ranking = rank_results(results, job.traffic_rps, balanced=is_balanced(context.document))
    report = write_report(results, ranking, job.work_dir / "report.html", teardown=_verdict(left))
    context.console.say(f"results: {path}\nreport:  {report}")
    document = _document(context, results, ranking, report, left)
    problem = left_behind(context, left or ()) or not_measured(targets)
    return context.console.answer(document, lambda: ranking_text(context.console, results, ranking), problem)


def not_measured(targets: tuple[TargetResult, ...]) -> HostFailed | None:
    """Return the error that names the targets that could not be measured, or None when all could."""
    from provisioning.errors import HostFailed

    failed = [target for target in targets if target.failure is not None]
    if not failed:
        return None
    lines = "\n".join(f"{target.accelerator}: {target.failure}" for target in failed)
    return HostFailed(f"Not every target could be measured.\n{lines}", "Run again with --resume.")


def _verdict(left: tuple[Leftover, ...] | None) -> dict[str, Any] | None:
    if left is None:
        return None
    return {"verified": not left, "left": [asdict(thing) for thing in left]}


def _document(
    context: Context, results: Results, ranking: Ranking, report: Path, left: tuple[Leftover, ...] | None
) -> dict[str, Any]:
    return {
        "deployment": results.deployment,
        "emulated": results.emulated,
        "targets": ranking.to_json(),
        "teardown": _verdict(left) or {"verified": False, "left": [], "kept": True},
        "report": str(report),
        "region": context.settings.region,
    }
