"""Lead a fixed port to a server's with systemd: a socket unit, and the proxy that is part of systemd itself.

The socket stays while the proxy is started anew, so that whoever connects meanwhile waits instead of being
refused. https://www.freedesktop.org/software/systemd/man/latest/systemd-socket-proxyd.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.serve.rotation import DOOR_PORT, HEALTH_PORT
from artifacts.serve.systemd import UNIT_DIRECTORY, systemctl

if TYPE_CHECKING:
    from pathlib import Path

NAMES = {DOOR_PORT: "amazonei-door", HEALTH_PORT: "amazonei-health"}
_TARGET = re.compile(r"^ExecStart=.*:(\d+)$", re.MULTILINE)

_SOCKET = """\
[Unit]
Description=amazonei port {port}

[Socket]
ListenStream=0.0.0.0:{port}
Backlog=4096
NoDelay=yes

[Install]
WantedBy=sockets.target
"""

# A connection is a pair of sockets and two pipes: six files.
_SERVICE = """\
[Unit]
Description=amazonei port {port}, to the server on port {to}
Requires={name}.socket
After={name}.socket

[Service]
Type=notify
LimitNOFILE=65536
DynamicUser=yes
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectHome=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
CapabilityBoundingSet=
ExecStart=/usr/lib/systemd/systemd-socket-proxyd --connections-max=8192 {address}:{to}
"""


@dataclass(frozen=True, slots=True)
class SystemdForwarder:
    """Units written and driven through `systemctl`."""

    address: str  # where the servers listen
    unit_directory: Path = UNIT_DIRECTORY

    def lead(self, port: int, to: int) -> None:
        """Write the units, and let the proxy begin anew with the next connection."""
        name = NAMES[port]
        self._file(f"{name}.socket").write_text(socket_text(port), encoding="utf-8")
        self._file(f"{name}.service").write_text(service_text(port, self.address, to), encoding="utf-8")
        systemctl("daemon-reload")
        systemctl("stop", f"{name}.service")
        systemctl("enable", "--now", f"{name}.socket")

    def shut(self, port: int) -> None:
        """Stop the units and remove them."""
        name = NAMES[port]
        if not self._file(f"{name}.socket").exists():
            return
        systemctl("disable", f"{name}.socket")
        # Both at once: the proxy holds the listening socket as well.
        systemctl("stop", f"{name}.socket", f"{name}.service")
        for kind in ("socket", "service"):
            self._file(f"{name}.{kind}").unlink(missing_ok=True)
        systemctl("daemon-reload")

    def leads_to(self, port: int) -> int | None:
        """Return where the units lead, if the socket is there."""
        unit = self._file(f"{NAMES[port]}.service")
        if not unit.exists():
            return None
        if "ActiveState=active" not in systemctl("show", f"{NAMES[port]}.socket", "--property=ActiveState"):
            return None
        found = _TARGET.search(unit.read_text(encoding="utf-8"))
        return int(found[1]) if found else None

    def _file(self, unit: str) -> Path:
        return self.unit_directory / unit


def socket_text(port: int) -> str:
    """Return the socket unit of a fixed port."""
    return _SOCKET.format(port=port)


def service_text(port: int, address: str, to: int) -> str:
    """Return the unit of the proxy that leads a fixed port to a server."""
    return _SERVICE.format(port=port, name=NAMES[port], address=address, to=to)
