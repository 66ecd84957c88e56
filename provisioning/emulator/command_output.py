"""Where a command's output goes when SendCommand names a bucket: S3, in the agent's layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.s3.exceptions import S3ClientError
from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition

if TYPE_CHECKING:
    from pathlib import Path

    from provisioning.emulator.invocation import Invocation
    from provisioning.emulator.run_command import Command


def key(command: Command, instance_id: str, step: str, stream: str) -> str:
    """Return the object key of one stream of one step.

    The layout is the agent's own: https://github.com/aws/amazon-ssm-agent
    """
    parts = [command.request.output_prefix.strip("/"), command.id, instance_id]
    return "/".join([part for part in parts if part] + ["awsrunShellScript", step, stream])


def url(command: Command, instance_id: str, step: str, stream: str) -> str:
    """Return the address of one stream, "" when the command names no bucket."""
    bucket = command.request.output_bucket
    if not bucket:
        return ""
    return f"https://s3.{command.region}.amazonaws.com/{bucket}/{key(command, instance_id, step, stream)}"


def upload(command: Command, invocation: Invocation) -> None:
    """Put what the steps wrote into the command's bucket; a missing bucket does not fail the command."""
    if not command.request.output_bucket:
        return
    instance_id = invocation.host.instance_id
    for result in invocation.results:
        for stream, path in (("stdout", result.stdout), ("stderr", result.stderr)):
            if path.exists() and path.stat().st_size:
                _put(command, key(command, instance_id, result.name, stream), path)


def _put(command: Command, object_key: str, path: Path) -> None:
    backend = s3_backends[command.account][get_partition(command.region)]
    try:
        backend.put_object(command.request.output_bucket, object_key, path.read_bytes())
    except S3ClientError:
        # The agent logs this on the node and goes on; the command's own state is not affected.
        return
