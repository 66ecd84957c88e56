from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stacks.synth import SynthesizedStack, synthesize
from tests.stacks.specs import SPECS

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(scope="session")
def deployments() -> Mapping[str, tuple[SynthesizedStack, ...]]:
    # The Node process behind synthesis is slow to start: once for all tests.
    return {name: synthesize(spec) for name, spec in SPECS.items()}


@pytest.fixture(params=SPECS)
def deployment(
    request: pytest.FixtureRequest, deployments: Mapping[str, tuple[SynthesizedStack, ...]]
) -> tuple[SynthesizedStack, ...]:
    name: str = request.param
    return deployments[name]
