"""`teardown --keep-artifacts`: what was shipped comes to this machine before its bucket goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioning.aws import Aws
    from provisioning.cli.options import Context
    from provisioning.teardown import Observed


def bring_artifacts_home(context: Context, aws: Aws, observed: Observed) -> None:
    """Fetch what was shipped, verified; where some of it is damaged, nothing has been removed yet."""
    from artifacts.errors import ArtifactRefused
    from provisioning.keeping import bring_home, shipped

    owned = [bucket for stack in observed.stacks for bucket in stack.buckets]
    artifacts = shipped(aws.s3, [*owned, *observed.loose_buckets])
    folder = context.settings.work_dir / "kept"
    with context.console.activity(f"fetching {len(artifacts)} artifacts"):
        brought = bring_home(aws.s3, artifacts, folder, context.console.detail)
    for path in brought.kept:
        context.console.say(f"kept: {path}")
    if brought.damaged:
        reasons = "\n".join(f"  {each.stem[:12]}: {error.message}" for each, error in brought.damaged)
        raise ArtifactRefused(
            f"Nothing was removed: {len(brought.damaged)} of {len(artifacts)} artifacts in the bucket are "
            f"damaged.\n{reasons}",
            "Without --keep-artifacts they go with the bucket. The hosts are billed until then: "
            f"{context.settings.command('teardown --yes')}",
        )
