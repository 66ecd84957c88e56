"""The hypervisor: which emulated hosts exist, and at which loopback address each lives."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from provisioning.emulator.host import Host, Site

_LAST_OCTETS = range(1, 255)


class NoAddressLeft(Exception):
    """Every loopback address of this emulator belongs to a live host."""


class Hypervisor:
    """Launches, finds and ends the hosts of one emulator.

    Its addresses are 127.a.b.1 to 127.a.b.254, where a and b spell the emulator's port: two emulators on
    one machine have different ports, so their hosts never share an address. A port of 1024 or more keeps
    them off 127.0.0.1.
    """

    def __init__(self, site: Site, port: int) -> None:
        self._site = site
        self._network = f"127.{port >> 8}.{port & 255}"
        self._lock = threading.Lock()
        self._hosts: dict[str, Host] = {}
        self._launched = 0

    def launch(self, instance_id: str, region: str, user_data: str) -> Host:
        """Make a host for a new instance and boot it."""
        with self._lock:
            host = Host(self._site, instance_id, region, self._free_address())
            self._hosts[instance_id] = host
        host.power_on(user_data)
        return host

    def find(self, instance_id: str) -> Host | None:
        """Return the host of the instance, or None when it never had one or is terminated."""
        return self._hosts.get(instance_id)

    def hosts(self) -> tuple[Host, ...]:
        """Return every host that is not terminated."""
        with self._lock:
            return tuple(self._hosts.values())

    def terminate(self, instance_id: str) -> None:
        """End the host of the instance and remove its directory."""
        with self._lock:
            host = self._hosts.get(instance_id)
        if host is not None:
            host.remove()
            # Only now may the address be given away: its old processes have let go of their ports.
            with self._lock:
                self._hosts.pop(instance_id, None)

    def shut_down(self) -> None:
        """Terminate every host."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            tuple(pool.map(self.terminate, [host.instance_id for host in self.hosts()]))

    def free_addresses(self) -> int:
        """Return how many more hosts can be launched."""
        with self._lock:
            return len(_LAST_OCTETS) - len(self._hosts)

    def _free_address(self) -> str:
        taken = {host.address for host in self._hosts.values()}
        for _ in _LAST_OCTETS:
            address = f"{self._network}.{_LAST_OCTETS[self._launched % len(_LAST_OCTETS)]}"
            self._launched += 1
            if address not in taken:
                return address
        raise NoAddressLeft
