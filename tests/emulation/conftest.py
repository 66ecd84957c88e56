"""One laptop, and so one emulator, per module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.emulation.laptop import Laptop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    machine = Laptop(tmp_path_factory.mktemp("laptop"))
    yield machine
    machine.amazonei("emulator", "stop").ok()
