"""The containers of emulated SageMaker endpoints: real processes that run what was shipped."""

from __future__ import annotations

import http.client
import io
import json
import shutil
import subprocess
import tarfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from provisioning.emulator.host import Site

_SCRIPT = Path(__file__).with_name("inference_container.py")
_POLL_S = 0.05
# How long SageMaker pings a container without an answer, unless the endpoint says otherwise.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProductionVariant.html
HEALTH_CHECK_S = 8 * 60.0
INVOCATION_S = 60.0  # https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
_ADDRESS = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What an endpoint runs: the bytes of `model.tar.gz`, and the container's environment."""

    endpoint: str
    package: bytes
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a container answered."""

    status: int
    content_type: str
    body: bytes


class Container:
    """One process that loads a package and then serves it on the loopback."""

    def __init__(self, root: Path, interpreter: Path, order: Order) -> None:
        self._root = root
        self._interpreter = interpreter
        self._order = order
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()

    def serves(self, hear: Callable[[str], None]) -> bool:
        """Start the process and return whether it came to answer; `hear` gets each line it writes."""
        model = self._root / "base" / "model"
        model.mkdir(parents=True)
        try:
            with tarfile.open(fileobj=io.BytesIO(self._order.package), mode="r:gz") as tar:
                tar.extractall(model, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            hear(f"model.tar.gz cannot be unpacked: {error}")
            return False
        self._process = subprocess.Popen(
            [self._interpreter, "-P", _SCRIPT],
            env=self._environment(model),
            cwd=self._root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        pump = threading.Thread(target=self._pump, args=(self._process, hear), daemon=True)
        pump.start()
        if self._answers(self._process):
            return True
        self._stop()
        pump.join()  # the last lines say why
        return False

    def ask(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send a request to the model; raises OSError or HTTPException when the container is gone."""
        connection = http.client.HTTPConnection(_ADDRESS, self._port(), timeout=INVOCATION_S)
        try:
            connection.request("POST", "/invocations", body, dict(headers))
            answer = connection.getresponse()
            return Reply(
                status=answer.status,
                content_type=answer.headers.get("Content-Type", "application/octet-stream"),
                body=answer.read(),
            )
        finally:
            connection.close()

    def end(self) -> None:
        """End the process and remove its folder; blocks until it is gone."""
        self._ended.set()
        self._stop()
        shutil.rmtree(self._root, ignore_errors=True)

    def _environment(self, model: Path) -> dict[str, str]:
        """Return the process's whole environment: of this machine's it has the path, and no key of ours.

        Network isolation is thus kept in spirit only: nothing here stops a process from opening a socket.
        """
        return {
            **self._order.environment,
            "AMAZONEI_ADDRESS": _ADDRESS,
            "AMAZONEI_EMULATED": "1",
            "AMAZONEI_HOME": str(self._root / "container"),  # what an emulator that was killed is cleaned by
            "AMAZONEI_PORT_FILE": str(self._root / "port"),
            "HOME": str(self._root),
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(model / "code"),
            "PYTHONUNBUFFERED": "1",
            "SAGEMAKER_BASE_DIR": str(self._root / "base"),
            "TMPDIR": str(self._root),
        }

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + HEALTH_CHECK_S
        while time.monotonic() < deadline and process.poll() is None and not self._ended.is_set():
            if (self._root / "port").exists():
                return True
            time.sleep(_POLL_S)
        return False

    def _port(self) -> int:
        return int(json.loads((self._root / "port").read_text(encoding="ascii")))

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @staticmethod
    def _pump(process: subprocess.Popen[bytes], hear: Callable[[str], None]) -> None:
        assert process.stdout is not None  # noqa: S101 (it was asked for)
        with process.stdout as output:
            for line in output:
                hear(line.decode(errors="replace").rstrip("\n"))


class Hosting:
    """Every endpoint's container, by the endpoint's ARN."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._made = 0
        self._serving: dict[str, Container] = {}
        self._starting: dict[str, Container] = {}

    def replace(self, arn: str, order: Order, hear: Callable[[str], None]) -> bool:
        """Start a container, and let it serve in the old one's place if it comes to answer."""
        with self._lock:
            self._made += 1
            root = self._site.hosts / f"endpoint-{self._made}"
            new = self._starting[arn] = Container(root, self._site.interpreter, order)
        serves = new.serves(hear)
        with self._lock:
            wanted = self._starting.pop(arn, None) is new
            old = self._serving.get(arn) if serves and wanted else new
            if serves and wanted:
                self._serving[arn] = new
        if old is not None:
            old.end()
        return serves and wanted

    def find(self, arn: str) -> Container | None:
        """Return the container that serves an endpoint."""
        return self._serving.get(arn)

    def end(self, arn: str) -> None:
        """End whatever runs for an endpoint."""
        with self._lock:
            ending = [self._starting.pop(arn, None), self._serving.pop(arn, None)]
        for container in ending:
            if container is not None:
                container.end()

    def shut_down(self) -> None:
        """End every container."""
        for arn in [*self._starting, *self._serving]:
            self.end(arn)
