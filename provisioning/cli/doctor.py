"""`doctor`: whether everything is ready, and what a person must be allowed to do."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from provisioning.cli.options import Context, shared_options
from provisioning.cli.provision import wanted_spec
from provisioning.cli.session import open_aws


@click.command(short_help="Check this machine and this account.")
@click.option(
    "--accelerator", "accelerators", multiple=True, metavar="TYPE", help="Check for this accelerator."
)
@click.option(
    "--print-policy", is_flag=True, help="Print the IAM policy that deploying needs; check nothing."
)
@click.option(
    "--policy-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write that policy into files of the size that IAM takes, and say how to attach them.",
)
@shared_options
def doctor(
    context: Context, accelerators: tuple[str, ...], *, print_policy: bool, policy_dir: Path | None
) -> None:
    """Check whether this machine and this account are ready; exit 3 when something is missing."""
    if print_policy or policy_dir is not None:
        answer_policy(context, accelerators, policy_dir)
        return
    from provisioning.doctor import examine

    findings = examine(lambda: open_aws(context), accelerators or ("c7i.xlarge",), context.settings.region)
    from provisioning.errors import PreflightFailed
    from provisioning.plan import finding_document

    lines = [f"{finding.level.value:7} {finding.message}" for finding in findings]
    if any(finding.blocks for finding in findings):
        for line in lines:
            context.console.say(line)
        raise PreflightFailed(findings)
    context.console.answer(
        {"ready": True, "findings": [finding_document(finding) for finding in findings]}, "\n".join(lines)
    )


def answer_policy(context: Context, accelerators: tuple[str, ...], directory: Path | None) -> None:
    """Answer with the policy of a person who deploys, uses and removes the deployment: JSON or files."""
    from provisioning.deployer_policy import Place, deployer_policy
    from stacks.synth import synthesize

    spec = wanted_spec(context, {"accelerators": accelerators}, allow_retired=False)
    account = open_aws(context).sts.caller_identity().account
    policy = deployer_policy(spec, synthesize(spec), Place(account=account, region=spec.region))
    if directory is None:
        context.console.answer(policy, json.dumps(policy, indent=2))
        return
    from provisioning.managed_policies import managed_policies, size, write_policies

    pieces = managed_policies(policy)
    written = tuple(zip(write_policies(pieces, spec.name, directory), map(size, pieces), strict=True))
    context.console.answer(
        {"policies": [{"path": str(path), "characters": length} for path, length in written]},
        "\n".join(attaching(path) for path, _ in written),
    )
    context.console.say("Then attach them to the role or the user that deploys: aws iam attach-role-policy")


def attaching(path: Path) -> str:
    """Return the command that makes a managed policy of a file."""
    return shlex.join(
        ("aws", "iam", "create-policy", "--policy-name", path.stem, "--policy-document", f"file://{path}")
    )
