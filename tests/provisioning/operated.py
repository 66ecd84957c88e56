"""A deployment whose hosts and bucket a test declares, for operations on hosts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from provisioning.aws.s3 import S3, ListedObject, ObjectRecord
from provisioning.deployment import Deployment
from provisioning.errors import AwsError, NotFound
from provisioning.operations import HostCalls
from tests.provisioning.declared import DeclaredAws, StillClock, declare_aws

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from provisioning.aws.blocks import Blocks

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
TAGS = {"amazonei:deployment": "demo", "amazonei:accelerator": "c7i.xlarge"}


class Bucket(S3):
    """One bucket's objects; a response appears when it is asked for."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []
        self.notes: dict[str, Mapping[str, str]] = {}
        self.requests: list[tuple[str, str, int]] = []  # of S3: operation, key, bytes of data sent
        self.respond: Callable[[str], bytes | None] = lambda _key: None

    def head_object(self, bucket: str, key: str) -> ObjectRecord | None:
        self.requests.append(("HEAD", key, 0))
        body = self.objects.get(key)
        if body is None:
            return None
        return ObjectRecord(key=key, size=len(body), metadata=self.notes.get(key, {}))

    def put_object_if_absent(self, bucket: str, key: str, body: bytes) -> bool:
        self.puts.append(key)
        self.requests.append(("PUT", key, len(body)))
        return self.objects.setdefault(key, body) is body

    def put_object(self, bucket: str, key: str, body: bytes) -> None:
        self.puts.append(key)
        self.requests.append(("PUT", key, len(body)))
        self.objects[key] = body

    def keys(self, bucket: str, prefix: str = "") -> tuple[str, ...]:
        self.requests.append(("LIST", prefix, 0))
        return tuple(sorted(key for key in self.objects if key.startswith(prefix)))

    def listed(self, bucket: str, prefix: str) -> tuple[ListedObject, ...]:
        self.requests.append(("LIST", prefix, 0))
        return tuple(
            ListedObject(key=key, size=len(body), modified=EPOCH + timedelta(seconds=number))
            for number, (key, body) in enumerate(self.objects.items())  # in the order they came in
            if key.startswith(prefix)
        )

    def put_blocks(self, bucket: str, key: str, body: Blocks, sha256: bytes) -> None:
        data = bytes(body.read())
        if hashlib.sha256(data).digest() != sha256:
            raise AwsError(
                "The SHA256 you specified did not match what we received.",
                operation="s3:PutObject",
                aws_code="BadDigest",
            )
        self.requests.append(("PUT", key, len(data)))
        self.objects[key] = data

    def put_noted(
        self, bucket: str, key: str, body: bytes, note: Mapping[str, str], *, only_if_absent: bool
    ) -> bool:
        self.requests.append(("PUT", key, len(body)))
        if only_if_absent and key in self.objects:
            return False
        self.objects[key] = body
        self.notes[key] = dict(note)
        return True

    def get_object(self, bucket: str, key: str) -> bytes:
        self.requests.append(("GET", key, 0))
        body = self.objects.get(key) or self.respond(key)
        if body is None:
            raise NotFound(f"no {key}")
        return body

    def end_of(self, bucket: str, key: str, size: int) -> bytes:
        return self.get_object(bucket, key)[-size:]

    def upload_file(
        self,
        path: Path,
        bucket: str,
        key: str,
        on_bytes: Callable[[int], None] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.puts.append(key)
        self.requests.append(("PUT", key, path.stat().st_size))
        self.objects[key] = path.read_bytes()
        self.notes[key] = dict(metadata or {})


@dataclass(frozen=True)
class Account:
    """An account that has a bucket and nothing else."""

    s3: S3


class World:
    def __init__(self) -> None:
        self.declared: DeclaredAws = declare_aws()
        self.bucket = Bucket()
        self.declared.aws.s3 = self.bucket
        self.said: list[str] = []
        self.declared.ec2.declare_host("i-1", TAGS)
        self.calls = self.with_hosts()

    def with_hosts(self, clock: StillClock | None = None) -> HostCalls:
        """Return the collaborators for the hosts that are declared now."""
        deployment = Deployment(
            name="demo",
            stacks=(),
            bucket="box",
            document="doc",
            hosts=tuple(self.declared.ec2.hosts),
        )
        return HostCalls(
            aws=self.declared.aws,
            deployment=deployment,
            clock=clock or StillClock(),
            say=self.said.append,
            emulated=True,
        )

    def answers(self, document: dict[str, Any]) -> None:
        self.bucket.respond = lambda key: (
            json.dumps(document).encode() if key.startswith("results/") else None
        )
