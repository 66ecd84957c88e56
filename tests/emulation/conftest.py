"""One laptop, and so one emulator, per module."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.emulation.laptop import Laptop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let what the tests start be interrupted, also where a shell runs the tests in the background.

    Such a shell has Ctrl-C ignored, and whoever is started so ignores it too; our handler is not handed on.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    machine = Laptop(tmp_path_factory.mktemp("laptop"))
    yield machine
    machine.amazonei("emulator", "stop").ok()
