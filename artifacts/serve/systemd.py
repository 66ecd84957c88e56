"""Keep a server running with systemd: one hardened unit per port."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from artifacts.errors import ServeFailed
from artifacts.serve.supervision import CODE_ROOT, LOG_TAIL_LINES, Running, ServerSpec

UNIT_DIRECTORY = Path("/etc/systemd/system")
RUNNING_SYSTEMD = Path("/run/systemd/system")  # sd_booted(3) looks for this directory
_MEMORY_MAX = "90%"

_UNIT = """\
[Unit]
Description=amazonei model server on port {port}
After=network.target

[Service]
ExecStart={command}
WorkingDirectory={root}
Environment=PYTHONPATH={root}
Environment=PYTHONUNBUFFERED=1
Restart=always
RestartSec=2
TimeoutStopSec=15
User=amazonei
DynamicUser=yes
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
CapabilityBoundingSet=
MemoryMax={memory}

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class SystemdSupervisor:
    """Units written and driven through `systemctl`."""

    unit_directory: Path = UNIT_DIRECTORY

    def start(self, spec: ServerSpec) -> None:
        """Write the unit and start it, now and at boot."""
        self._unit_file(spec.port).write_text(unit_text(spec), encoding="utf-8")
        systemctl("daemon-reload")
        systemctl("enable", "--now", unit_name(spec.port))

    def stop(self, port: int) -> None:
        """Stop the unit and remove it."""
        unit = self._unit_file(port)
        if not unit.exists():
            return
        systemctl("disable", "--now", unit_name(port))
        unit.unlink()
        systemctl("daemon-reload")

    def running(self, port: int) -> Running | None:
        """Return the server on a port, or None."""
        shown = systemctl(
            "show",
            unit_name(port),
            "--property=ActiveState,MainPID,ActiveEnterTimestampMonotonic",
        )
        properties = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        if properties.get("ActiveState") != "active":
            return None
        since_boot = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        entered = int(properties.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        return Running(pid=int(properties["MainPID"]), uptime_s=round(max(0.0, since_boot - entered), 1))

    def log_tail(self, port: int, lines: int = LOG_TAIL_LINES) -> str:
        """Return the last lines of the unit's journal."""
        command = ["journalctl", "--unit", unit_name(port), "--lines", str(lines), "--no-pager"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return done.stdout.strip()

    def _unit_file(self, port: int) -> Path:
        return self.unit_directory / unit_name(port)


def unit_name(port: int) -> str:
    """Return the unit of a port."""
    return f"amazonei-server-{port}.service"


def unit_text(spec: ServerSpec) -> str:
    """Return the unit file; every word is quoted, as systemd.service(5) asks."""
    return _UNIT.format(
        port=spec.port,
        command=" ".join(_quoted(word) for word in spec.command()),
        root=CODE_ROOT,
        memory=_MEMORY_MAX,
    )


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def systemctl(*arguments: str) -> str:
    """Return what `systemctl` prints; raises ServeFailed with its last line when it fails."""
    done = subprocess.run(["systemctl", *arguments], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ServeFailed(f"systemctl {arguments[0]} failed: {reason}", "Look at the host's journal.")
    return done.stdout
