from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.serve.bundle import build_bundle, bundle_digest
from artifacts.serve.document import host_document
from artifacts.serve.requests import InstallRequest, StopRequest
from provisioning.uploading import Upload, store
from tests.provisioning.declared import StillClock
from tests.provisioning.operated import Account, Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from artifacts.serve.requests import AnyRequest
    from provisioning.uploading import Stored

_AWS = """\
#!{python} -S
import pathlib, shutil, sys
operation, arguments = sys.argv[2], sys.argv[3:]
if sys.argv[1:3] == ["s3", "cp"]:
    source = pathlib.Path({bucket!r}) / arguments[0].removeprefix("s3://bucket/")
    assert arguments[2:6] == ["--recursive", "--only-show-errors", "--exclude", "*"], arguments
    for name in arguments[7::2]:
        if (source / name).exists():
            shutil.copy(source / name, arguments[1])
    sys.exit(0)
options = dict(zip(arguments[::2], arguments[1::2]))
stored = pathlib.Path({bucket!r}) / options["--key"]
if operation == "get-object":
    if not stored.exists():
        sys.exit("An error occurred (NoSuchKey) when calling the GetObject operation")
    shutil.copy(stored, arguments[-1])
    if "--range" in options:
        last = int(options["--range"].rpartition("-")[2])
        with open(arguments[-1], "r+b") as part:
            part.truncate(min(stored.stat().st_size, last + 1))
else:
    stored.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(options["--body"], stored)
"""


@dataclass(frozen=True, kw_only=True)
class Response:
    """What one command on the host left behind."""

    code: int
    document: dict[str, Any]
    summary: dict[str, Any]
    steps: str


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A host in a directory, driven as SSM drives it: the document's own script, parameters in variables.

    Its `aws` is a double that copies files; everything else is real.
    """

    root: Path
    address: str
    accelerator: str = "c7i.xlarge"
    environment: dict[str, str] = field(default_factory=lambda: {"AMAZONEI_EMULATED": "1"})

    @property
    def home(self) -> Path:
        return self.root / "home"

    def prepare(self) -> None:
        self.home.mkdir(parents=True)
        host = {"accelerator": self.accelerator, "interpreter": sys.executable, "instance_id": "i-0"}
        (self.home / "host.json").write_text(json.dumps({**host, "deployment": "test"}), encoding="ascii")
        aws = self.root / "bin" / "aws"
        aws.parent.mkdir()
        aws.write_text(_AWS.format(python=sys.executable, bucket=str(self.root / "bucket")), encoding="ascii")
        aws.chmod(0o755)

    def store(self, key: str, data: bytes) -> None:
        path = self.root / "bucket" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def send(self, request: AnyRequest, **parameters: str) -> Response:
        """Do what is asked; return what it left behind."""
        process = self.begin(request, **parameters)
        out, steps = process.communicate()
        return self._response(request, process.returncode, out, steps)

    def begin(self, request: AnyRequest, **parameters: str) -> subprocess.Popen[str]:
        """Start the command, and do not wait for its end."""
        bundle = build_bundle()
        self.store(f"artifacts/bundles/{bundle_digest(bundle)}.zip", bundle)
        self.store(f"artifacts/requests/{request.digest}.json", request.canonical())
        environment = {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "AMAZONEI_HOME": str(self.home),
            "AMAZONEI_ADDRESS": self.address,
            "AWS_SECRET_ACCESS_KEY": "not-for-servers",
            "SSM_Bucket": "bucket",
            "SSM_Bundle": bundle_digest(bundle),
            "SSM_Operation": request.operation.value,
            "SSM_Request": request.digest,
        }
        script = "\n".join(host_document()["mainSteps"][0]["inputs"]["runCommand"])
        return subprocess.Popen(
            ["sh", "-c", script],
            env=environment | self.environment | parameters,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _response(self, request: AnyRequest, code: int, out: str, steps: str) -> Response:
        result = self.root / "bucket" / "results" / request.id / "i-0.json"
        return Response(
            code=code,
            document=json.loads(result.read_bytes()) if result.exists() else {},
            summary=json.loads(out or "{}"),
            steps=steps,
        )

    def install(self, artifact: Path, digest: str, bucket: Bucket | None = None, **change: Any) -> Response:
        """Ship an artifact to this host."""
        return self.send(self.asked(artifact, digest, bucket, **change))

    def asked(
        self, artifact: Path, digest: str, bucket: Bucket | None = None, **change: Any
    ) -> InstallRequest:
        """Put an artifact into the bucket; return the request to install it, with these members."""
        bucket = bucket or Bucket()
        stored = put(bucket, artifact, digest)
        for name, body in bucket.objects.items():
            self.store(name, body)
        fields: dict[str, Any] = {
            "id": f"install-{digest[:12]}",
            "artifact_key": stored.key,
            "artifact_bytes": artifact.stat().st_size,
            "artifact_sha256": stored.sha256,
            "manifest_digest": digest,
            "accelerator": self.accelerator,
        }
        return InstallRequest(**{**fields, **change})

    def processes(self) -> list[int]:
        """Return every process whose command line mentions this host."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if str(self.home).encode() in (entry / "cmdline").read_bytes():
                        found.append(int(entry.name))
                except (FileNotFoundError, ProcessLookupError):
                    continue
        return found


def put(bucket: Bucket, artifact: Path, digest: str) -> Stored:
    """Upload an artifact as one of the model's versions."""
    upload = Upload(
        account=Account(bucket),
        bucket="bucket",
        key=f"artifacts/models/{digest}.recipe",
        scope="model",
        clock=StillClock(),
        say=lambda _: None,
    )
    return store(upload, artifact)


def put_alike(bucket: Bucket, artifact: Path, folder: Path) -> None:
    """Upload what differs from an artifact in a byte, so that the artifact's recipe becomes a delta."""
    data = artifact.read_bytes()
    alike = folder / "alike.aei"
    alike.write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
    put(bucket, alike, "0" * 64)


def is_delta(bucket: Bucket, digest: str) -> bool:
    """Return whether an artifact's recipe is told by what differs from another."""
    recipe = bucket.objects[f"artifacts/models/{digest}.recipe"]
    return zlib.decompress(recipe).startswith(b"amazonei-delta/")


@pytest.fixture(scope="session")
def new_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Machine]]:
    """Make hosts, each with a loopback address of its own, and stop what they serve at the end."""
    made: list[Machine] = []

    def make(**options: Any) -> Machine:
        address = f"127.83.{os.getpid() % 200 + 1}.{len(made) + 1}"
        machine = Machine(root=tmp_path_factory.mktemp("host"), address=address, **options)
        machine.prepare()
        made.append(machine)
        return machine

    yield make
    for machine in made:
        machine.send(StopRequest(id="end"))
