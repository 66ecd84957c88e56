"""One real emulator for the session, clients for it, and one host that commands can be sent to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provisioning.emulator import service
from tests.provisioning.emulator.emulated import Emulated, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioning.emulator.state import Running


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    state_dir = tmp_path_factory.mktemp("emulator")
    yield service.start(state_dir, registration_delay_s=0.2)
    service.stop(state_dir)


@pytest.fixture(scope="session")
def aws(running: Running) -> Emulated:
    return connect(running)


@pytest.fixture(scope="session")
def host(aws: Emulated) -> str:
    return aws.await_online(aws.launch(tags={"role": "shared", "team": "red"}))
