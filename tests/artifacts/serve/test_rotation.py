"""A balanced host leaves the rotation before its door changes, and is in it afterwards whatever happened."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from artifacts.errors import ServeFailed
from artifacts.serve.client import Client
from artifacts.serve.host import choose_rotation
from artifacts.serve.relay import ProcessForwarder
from artifacts.serve.rotation import DOOR_PORT, HEALTH_PORT, NOTICED_S, Rotation
from artifacts.serve.settings import HostSettings
from artifacts.serve.supervision import ProcessSupervisor
from artifacts.serve.systemd import SystemdSupervisor
from artifacts.serve.systemd_door import SystemdForwarder, service_text, socket_text

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD, NEW = 8080, 8081


@dataclass
class Story:
    """A forwarder and a clock that write down what happens, in order."""

    told: list[str] = field(default_factory=list)
    led: dict[int, int] = field(default_factory=dict)

    def lead(self, port: int, to: int) -> None:
        self.told.append(f"{port} -> {to}")
        self.led[port] = to

    def shut(self, port: int) -> None:
        self.told.append(f"{port} shut")
        self.led.pop(port, None)

    def leads_to(self, port: int) -> int | None:
        return self.led.get(port)

    def sleep(self, seconds: float) -> None:
        self.told.append(f"{seconds:g} s")

    def rotation(self) -> Rotation:
        return Rotation(self, noticed_s=15, sleep=self.sleep)


def ignore(_step: str) -> None:
    """Nobody listens."""


@pytest.fixture
def story() -> Story:
    return Story(led={DOOR_PORT: OLD, HEALTH_PORT: OLD})


def test_nothing_changes_before_the_balancer_has_noticed(story: Story) -> None:
    with story.rotation().outside(ignore, lambda: NEW):
        story.told.append("switch")
    assert story.told == [
        *(f"{HEALTH_PORT} shut", "15 s"),
        "switch",
        *(f"{DOOR_PORT} -> {NEW}", f"{HEALTH_PORT} -> {NEW}", "15 s"),
    ]


def test_a_switch_that_fails_puts_the_old_version_back_in_rotation(story: Story) -> None:
    with (
        pytest.raises(ServeFailed, match="disk"),
        story.rotation().outside(ignore, lambda: OLD),
    ):
        raise ServeFailed("the disk is full")
    assert story.told == [f"{HEALTH_PORT} shut", "15 s", f"{HEALTH_PORT} -> {OLD}", "15 s"]


def test_a_first_version_has_nothing_to_leave(story: Story) -> None:
    story.led.clear()
    with story.rotation().outside(ignore, lambda: OLD):
        story.told.append("switch")
    assert story.told == ["switch", f"{DOOR_PORT} -> {OLD}", f"{HEALTH_PORT} -> {OLD}", "15 s"]


def test_where_nothing_is_served_nobody_is_let_in(story: Story) -> None:
    story.led.clear()
    with story.rotation().outside(ignore, lambda: None):
        pass
    assert story.told == []


def test_who_is_in_stays_in_and_who_was_broken_off_comes_back(story: Story) -> None:
    rotation = story.rotation()
    rotation.enter(OLD, ignore)
    assert story.told == []
    del story.led[HEALTH_PORT]
    assert not rotation.is_in
    rotation.enter(OLD, ignore)
    assert story.told == [f"{HEALTH_PORT} -> {OLD}", "15 s"]
    assert rotation.is_in


def test_an_end_shuts_the_door_last(story: Story) -> None:
    story.rotation().end(ignore)
    assert story.told == [f"{HEALTH_PORT} shut", "15 s", f"{DOOR_PORT} shut"]


def settings(home: Path, *, balanced: bool = True) -> HostSettings:
    return HostSettings(
        home=home,
        address="127.0.0.1",
        instance_id="i-1",
        accelerator="c7i.xlarge",
        emulated=False,
        python=sys.executable,
        balanced=balanced,
    )


def test_only_a_balanced_host_has_fixed_ports_and_systemd_keeps_them_where_it_runs(tmp_path: Path) -> None:
    plain = ProcessSupervisor(tmp_path / "run", tmp_path / "log")
    assert choose_rotation(settings(tmp_path, balanced=False), plain) is None
    kept = [choose_rotation(settings(tmp_path), each) for each in (plain, SystemdSupervisor())]
    assert [type(each.forwarder) for each in kept if each] == [ProcessForwarder, SystemdForwarder]
    assert {each.noticed_s for each in kept if each} == {NOTICED_S}


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def server(address: str) -> Iterator[int]:
    with ThreadingHTTPServer((address, 0), Answering) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_address[1]
        listening.shutdown()


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def test_a_relay_leads_to_its_server_and_is_led_elsewhere(tmp_path: Path) -> None:
    address = "127.0.0.1"
    supervisor = ProcessSupervisor(tmp_path / "run", tmp_path / "log")
    forwarder = ProcessForwarder(supervisor, tmp_path / "run", address, sys.executable)
    port = free_port(address)
    assert forwarder.leads_to(port) is None
    body = bytes(range(256)) * 4096  # more than what fits into one read
    try:
        with server(address) as first:
            forwarder.lead(port, first)
            assert forwarder.leads_to(port) == first
            assert Client(address, port).infer(body, "application/octet-stream") == body
        assert not Client(address, port).healthy()  # its server is gone, and nobody is kept waiting
        with server(address) as second:
            forwarder.lead(port, second)
            assert forwarder.leads_to(port) == second
            assert Client(address, port).healthy()
    finally:
        forwarder.shut(port)
    assert forwarder.leads_to(port) is None
    assert not Client(address, port).healthy()


def test_a_relay_that_cannot_listen_says_why(tmp_path: Path) -> None:
    supervisor = ProcessSupervisor(tmp_path / "run", tmp_path / "log")
    forwarder = ProcessForwarder(supervisor, tmp_path / "run", "192.0.2.1", sys.executable)
    with pytest.raises(ServeFailed, match="Port 8000 cannot be led to port 8080") as refused:
        forwarder.lead(DOOR_PORT, OLD)
    assert "192.0.2.1" in refused.value.hint


def systemctl(directory: Path, monkeypatch: pytest.MonkeyPatch, state: str = "active") -> Path:
    """Put a systemctl on PATH that writes down how it was called."""
    log, program = directory / "calls", directory / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> "{log}"\n[ "$1" = show ] && echo ActiveState={state}\nexit 0\n',
        encoding="ascii",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return log


def test_units_are_written_led_elsewhere_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = systemctl(tmp_path, monkeypatch)
    units = tmp_path / "units"
    units.mkdir()
    forwarder = SystemdForwarder("127.0.0.1", units)
    assert forwarder.leads_to(DOOR_PORT) is None
    forwarder.shut(DOOR_PORT)  # there is none: nothing is asked of systemd
    assert not log.exists()
    for port in (OLD, NEW):
        forwarder.lead(DOOR_PORT, port)
        assert forwarder.leads_to(DOOR_PORT) == port
    forwarder.shut(DOOR_PORT)
    assert list(units.iterdir()) == []
    led = ["daemon-reload", "stop amazonei-door.service", "enable --now amazonei-door.socket"]
    shown = ["show amazonei-door.socket --property=ActiveState"]
    assert log.read_text(encoding="ascii").splitlines() == [
        *(led + shown) * 2,
        "disable amazonei-door.socket",
        "stop amazonei-door.socket amazonei-door.service",
        "daemon-reload",
    ]


def test_a_socket_that_is_not_there_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl(tmp_path, monkeypatch, state="failed")
    forwarder = SystemdForwarder("127.0.0.1", tmp_path)
    forwarder.lead(HEALTH_PORT, OLD)
    assert forwarder.leads_to(HEALTH_PORT) is None


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd reads its own units")
def test_systemd_takes_the_units_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "amazonei-door.socket").write_text(socket_text(DOOR_PORT), encoding="utf-8")
    unit = tmp_path / "amazonei-door.service"
    unit.write_text(service_text(DOOR_PORT, "127.0.0.1", OLD), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(unit), str(tmp_path / "amazonei-door.socket")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "amazonei" not in done.stderr, done.stderr
    lines = unit.read_text(encoding="utf-8").splitlines()
    (program,) = (
        line.removeprefix("ExecStart=").split()[0] for line in lines if line.startswith("ExecStart=")
    )
    assert Path(program).is_file()
