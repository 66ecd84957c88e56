from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from artifacts.serve.bundle import build_bundle, bundle_digest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(build_bundle())) as bundle:
        bundle.extractall(tmp_path)
    return tmp_path


def test_the_same_sources_give_the_same_bundle() -> None:
    assert bundle_digest(build_bundle()) == bundle_digest(build_bundle())


def test_the_compiler_stays_at_home(unpacked: Path) -> None:
    rooms = {path.name for path in (unpacked / "artifacts").iterdir() if path.is_dir()}
    assert rooms == {"serve", "measure"}


@pytest.mark.parametrize(
    "module", ["artifacts.serve.host", "artifacts.serve.server", "artifacts.measure.campaign"]
)
def test_the_bundle_runs_without_the_rest_of_the_tool(module: str, unpacked: Path) -> None:
    program = f"import sys, {module} as m; print(m.__file__, 'boto3' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=unpacked, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(unpacked / f"{module.replace('.', '/')}.py"), "False", "False"]


def test_the_bundle_is_python_3_10(unpacked: Path) -> None:
    python = shutil.which("python3.10")
    # A pyenv shim runs only when the version is selected; elsewhere the variable means nothing.
    environment = {**os.environ, "PYENV_VERSION": "3.10"}
    probe = [python or "python3.10", "-V"]
    if python is None or subprocess.run(probe, env=environment, check=False, capture_output=True).returncode:
        pytest.skip("python3.10 is not installed here")
    # The sources are compiled, and what needs no third-party package is imported.
    modules = "artifacts.archive, artifacts.serve.requests, artifacts.serve.host, artifacts.measure.campaign"
    subprocess.run([python, "-m", "compileall", "-q", "artifacts"], cwd=unpacked, env=environment, check=True)
    done = subprocess.run(
        [python, "-c", f"import {modules}"],
        cwd=unpacked,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
