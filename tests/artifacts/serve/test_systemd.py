from __future__ import annotations

from pathlib import Path

import pytest

from artifacts.errors import ServeFailed
from artifacts.serve.host import choose_supervisor
from artifacts.serve.settings import HostSettings
from artifacts.serve.supervision import ProcessSupervisor, ServerSpec
from artifacts.serve.systemd import SystemdSupervisor, unit_text

_SYSTEMCTL = """\
#!/bin/sh
echo "$@" >> "{log}"
if [ "$1" = show ]; then
    printf '%s\\n' ActiveState=active MainPID=42 ActiveEnterTimestampMonotonic=1000000
fi
exit {code}
"""


def _spec(version: str = "/opt/amazonei/versions/abc") -> ServerSpec:
    return ServerSpec(
        python="/opt/python/bin/python",
        version=Path(version),
        address="127.0.0.1",
        port=8081,
        workers=4,
        batch=1,
        pin=True,
        neuron=2,
    )


def _systemctl(directory: Path, monkeypatch: pytest.MonkeyPatch, code: int = 0) -> Path:
    """Put a systemctl on PATH that writes down how it was called."""
    log = directory / "calls"
    program = directory / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(_SYSTEMCTL.format(log=log, code=code), encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return log


def test_a_unit_is_written_enabled_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = _systemctl(tmp_path, monkeypatch)
    supervisor = SystemdSupervisor(tmp_path)
    supervisor.start(_spec())
    assert (tmp_path / "amazonei-server-8081.service").exists()
    supervisor.stop(8081)
    assert not (tmp_path / "amazonei-server-8081.service").exists()
    assert log.read_text(encoding="ascii").splitlines() == [
        "daemon-reload",
        "enable --now amazonei-server-8081.service",
        "disable --now amazonei-server-8081.service",
        "daemon-reload",
    ]


def test_a_unit_that_was_never_written_needs_no_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = _systemctl(tmp_path, monkeypatch)
    SystemdSupervisor(tmp_path).stop(8080)
    assert not log.exists()


def test_the_running_server_is_read_from_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _systemctl(tmp_path, monkeypatch)
    running = SystemdSupervisor(tmp_path).running(8081)
    assert running is not None
    assert running.pid == 42
    assert running.uptime_s > 0


def test_a_systemctl_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _systemctl(tmp_path, monkeypatch, code=1)
    with pytest.raises(ServeFailed, match="systemctl daemon-reload failed"):
        SystemdSupervisor(tmp_path).start(_spec())


@pytest.mark.parametrize(
    "line",
    [
        "User=amazonei",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "ProtectSystem=strict",
        "MemoryMax=90%",
        "CapabilityBoundingSet=",
        "Restart=always",
    ],
)
def test_the_unit_is_hardened(line: str) -> None:
    assert line in unit_text(_spec()).splitlines()


def test_the_units_command_is_quoted_against_systemds_own_expansion() -> None:
    text = unit_text(_spec('/odd/$HOME/%h/"x'))
    assert '"/odd/$$HOME/%%h/\\"x"' in text
    assert '"--pin" "--neuron" "2"' in text


@pytest.mark.parametrize(
    ("booted", "emulated", "kind"),
    [
        (True, False, SystemdSupervisor),
        (True, True, ProcessSupervisor),
        (False, False, ProcessSupervisor),
    ],
)
def test_systemd_is_used_only_where_it_runs_for_real(
    booted: bool, emulated: bool, kind: type, tmp_path: Path
) -> None:
    settings = HostSettings(
        home=tmp_path,
        address="127.0.0.1",
        instance_id="i-0",
        accelerator="c7i.xlarge",
        emulated=emulated,
        python="python3",
    )
    directory = tmp_path if booted else tmp_path / "missing"
    assert isinstance(choose_supervisor(settings, directory), kind)
