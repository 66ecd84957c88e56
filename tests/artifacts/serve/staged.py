"""A host on which an installation really runs, with servers in this process that answer as told."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import torch
from safetensors import torch as safetensors

from artifacts import archive
from artifacts.serve.draining import Drain
from artifacts.serve.golden import Golden, golden_tensors
from artifacts.serve.installation import Host
from artifacts.serve.requests import InstallRequest
from artifacts.serve.settings import HostSettings
from artifacts.serve.storage import Storage
from artifacts.serve.supervision import Running, ServerSpec
from tests.artifacts.manifests import packed
from tests.artifacts.serve.conftest import put
from tests.provisioning.operated import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from artifacts.serve.rotation import Rotation

X = torch.ones(1, 4)
RIGHT = {"output": torch.full((1, 4), 2.0)}
_NUMBERS = itertools.count(1)


class Shelf(Storage):
    """A bucket in memory; what was fetched is on the record."""

    def __init__(self) -> None:
        super().__init__("bucket")
        object.__setattr__(self, "s3", Bucket())
        object.__setattr__(self, "fetched", [])

    s3: Bucket
    fetched: list[str]

    def fetch(self, key: str, path: Path, most: int | None = None) -> None:
        self.fetched.append(key)
        path.write_bytes(self.s3.objects[key][:most])

    def fetch_all(self, prefix: str, names: Iterable[str], directory: Path, most: int) -> None:
        for name in names:
            self.fetch(prefix + name, directory / name)


@dataclass
class Stage:
    """A supervisor whose servers answer each request with `body`."""

    body: bytes = field(default_factory=lambda: safetensors.save(RIGHT))
    started: list[ServerSpec] = field(default_factory=list)
    _servers: dict[int, ThreadingHTTPServer] = field(default_factory=dict)

    def start(self, spec: ServerSpec) -> None:
        body = self.body

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(b"")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(body)

            def answer(self, content: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its parent's
                pass

        self.started.append(spec)
        server = ThreadingHTTPServer((spec.address, spec.port), Answering)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self._servers[spec.port] = server

    def stop(self, port: int) -> None:
        server = self._servers.pop(port, None)
        if server is not None:
            server.shutdown()
            server.server_close()

    def running(self, port: int) -> Running | None:
        return Running(pid=os.getpid(), uptime_s=1.0) if port in self._servers else None

    def log_tail(self, port: int, lines: int = 1) -> str:
        return "no log"

    @property
    def ports(self) -> set[int]:
        return set(self._servers)


@dataclass
class Theatre:
    """A host, its bucket and its servers."""

    root: Path
    accelerator: str = "c7i.xlarge"
    emulated: bool = False
    chips: int = 0
    rotation: Rotation | None = None
    shelf: Shelf = field(default_factory=Shelf)
    stage: Stage = field(default_factory=Stage)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True)
        settings = HostSettings(
            home=self.home,
            address=f"127.84.{os.getpid() % 200 + 1}.{next(_NUMBERS)}",
            instance_id="i-0",
            accelerator=self.accelerator,
            emulated=self.emulated,
            python=sys.executable,
        )
        self.host = Host(
            settings=settings,
            storage=self.shelf,
            supervisor=self.stage,
            progress=self.told.append,
            drain=Drain(linger_s=0.0, limit_s=1.0),
            rotation=self.rotation,
            count_chips=lambda: self.chips,
        )

    @property
    def home(self) -> Path:
        return self.root / "home"

    def asked(self, name: str = "model", **change: Any) -> InstallRequest:
        """Put an artifact into the bucket; return the request to install it, with these members."""
        artifact = self.artifact(name, **change.pop("manifest", {}))
        with closing(archive.open_verified(artifact)) as contents:
            digest = contents.manifest.digest
        stored = put(self.shelf.s3, artifact, digest)
        members: dict[str, Any] = {
            "id": f"install-{name}",
            "artifact_key": stored.key,
            "artifact_bytes": artifact.stat().st_size,
            "artifact_sha256": stored.sha256,
            "manifest_digest": digest,
            "accelerator": self.accelerator,
        }
        return InstallRequest(**{**members, **change})

    def artifact(self, name: str, **manifest: Any) -> Path:
        golden = safetensors.save(golden_tensors([Golden({"x": X}, RIGHT)]))
        files = {"golden.safetensors": golden}
        return packed(self.root / "made", files, name=name, target=self.accelerator, **manifest)[0]
