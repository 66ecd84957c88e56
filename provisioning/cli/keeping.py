"""`teardown --keep-artifacts`: what was shipped comes to this machine before its bucket goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioning.aws import Aws
    from provisioning.cli.options import Context
    from provisioning.teardown import Observed


def bring_artifacts_home(context: Context, aws: Aws, observed: Observed) -> None:
    """Fetch what was shipped, verified; where that fails, nothing has been removed yet."""
    from provisioning.keeping import bring_home, shipped

    owned = [bucket for stack in observed.stacks for bucket in stack.buckets]
    artifacts = shipped(aws.s3, [*owned, *observed.loose_buckets])
    folder = context.settings.work_dir / "kept"
    with context.console.activity(f"fetching {len(artifacts)} artifacts"):
        for path in bring_home(aws.s3, artifacts, folder, context.console.detail):
            context.console.say(f"kept: {path}")
