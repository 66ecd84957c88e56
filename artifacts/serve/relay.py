"""Lead a fixed port to a server's without systemd: a small process that copies bytes both ways.

For emulated hosts, and for hosts without systemd; the others have `systemd-socket-proxyd`.
Run as: python -m artifacts.serve.relay ADDRESS PORT TARGET
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.errors import ServeFailed

if TYPE_CHECKING:
    from pathlib import Path

    from artifacts.serve.supervision import ProcessSupervisor

_CHUNK = 1 << 16
_READY_S = 20.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySpec:
    """A relay to start: where it listens, and the port of the same address that it leads to."""

    python: str
    address: str
    port: int
    to: int

    def command(self) -> list[str]:
        """Return the command line."""
        return [self.python, "-m", "artifacts.serve.relay", self.address, str(self.port), str(self.to)]


@dataclass(frozen=True, slots=True)
class ProcessForwarder:
    """Relays kept by the supervisor that keeps the servers."""

    supervisor: ProcessSupervisor
    run_directory: Path
    address: str
    python: str

    def lead(self, port: int, to: int) -> None:
        """Start the relay anew; raises ServeFailed when it does not listen."""
        self.supervisor.stop(port)
        spec = RelaySpec(python=self.python, address=self.address, port=port, to=to)
        self.supervisor.start(spec)
        self._note(port).write_text(json.dumps({"to": to}), encoding="ascii")
        deadline = time.monotonic() + _READY_S
        while not _listens(self.address, port):
            if self.supervisor.running(port) is None or time.monotonic() > deadline:
                raise ServeFailed(
                    f"Port {port} cannot be led to port {to}.", f"Its log: {self.supervisor.log_tail(port)}"
                )
            time.sleep(_POLL_S)

    def shut(self, port: int) -> None:
        """End the relay."""
        self.supervisor.stop(port)
        self._note(port).unlink(missing_ok=True)

    def leads_to(self, port: int) -> int | None:
        """Return where the relay leads, if it runs."""
        if self.supervisor.running(port) is None:
            return None
        with suppress(FileNotFoundError, ValueError, KeyError):
            return int(json.loads(self._note(port).read_text(encoding="ascii"))["to"])
        return None

    def _note(self, port: int) -> Path:
        return self.run_directory / f"relay-{port}.json"


async def serve(address: str, port: int, to: int) -> None:
    """Relay connections for ever."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection(address, to)
        except OSError:
            writer.close()  # as a door that leads nowhere: the other side sees the end of its connection
            return
        await asyncio.gather(_copy(reader, target_writer), _copy(target_reader, writer))

    server = await asyncio.start_server(relay, address, port, backlog=1024)
    async with server:
        await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side is done, then say so to the other."""
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    with suppress(OSError):
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()
    if reader.at_eof() or reader.exception() is not None:
        writer.close()


def _listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def main(arguments: list[str]) -> None:
    """Run as a process of its own."""
    address, port, to = arguments
    asyncio.run(serve(address, int(port), int(to)))


if __name__ == "__main__":
    main(sys.argv[1:])
