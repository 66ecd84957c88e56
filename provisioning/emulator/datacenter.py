"""What the emulator adds to moto's own state, in the process that serves it.

moto keeps its state in module-level backends that its request handlers reach by name; the corrections of
those handlers reach the hosts the same way, through the one data centre opened in the process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provisioning.emulator.balancing import Balancing

if TYPE_CHECKING:
    from provisioning.emulator.hosting import Hosting
    from provisioning.emulator.hypervisor import Hypervisor
    from provisioning.emulator.run_command import RunCommand


@dataclass(frozen=True, slots=True)
class DataCenter:
    """The hosts, the commands, the endpoints' containers and the load balancers of the emulator."""

    hypervisor: Hypervisor
    run_command: RunCommand
    hosting: Hosting
    balancing: Balancing = field(default_factory=Balancing)


_opened: list[DataCenter] = []


def open_for_business(center: DataCenter) -> None:
    """Make this the process's data centre."""
    _opened[:] = [center]


def current() -> DataCenter | None:
    """Return the process's data centre, or None in a process that serves no hosts."""
    return _opened[0] if _opened else None
