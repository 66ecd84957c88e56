from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artifacts.compile.pipeline import compile_model
from artifacts.compile.request import CompileRequest, CompileResult, Method

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES = Path(__file__).with_name("sample_models.py")


@pytest.fixture(scope="session")
def model_of() -> Callable[[str], str]:
    """Return the MODEL argument that names one of the sample models."""
    return lambda name: f"{SAMPLES}:{name}"


@pytest.fixture(scope="session")
def two_layers(tmp_path_factory: pytest.TempPathFactory) -> CompileResult:
    """A small compiled model for c7i.xlarge, traced so that its digest does not hang on timings."""
    return _compile("two_layers", tmp_path_factory)


@pytest.fixture(scope="session")
def two_layers_retrained(tmp_path_factory: pytest.TempPathFactory) -> CompileResult:
    """The next version of the same model."""
    return _compile("two_layers_retrained", tmp_path_factory)


def _compile(name: str, factory: pytest.TempPathFactory) -> CompileResult:
    request = CompileRequest(
        model=f"{SAMPLES}:{name}",
        inputs=("x=float32[1,4]",),
        target="c7i.xlarge",
        out_dir=factory.mktemp("compiled"),
        method=Method.TRACE,
    )
    return compile_model(request, progress=lambda _: None)
