"""Packages and models go to a host through the bucket, by the installed command."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.artifacts.compile.planted import plant_sdk
from tests.emulation.laptop import REGION

if TYPE_CHECKING:
    from pathlib import Path

    from tests.emulation.laptop import Laptop

EM = ("--emulate", "--region", REGION)
MODEL = ("compile", "model/model.py:halve", "--input", "x=float32[1,4]", "--target", "inf2.xlarge", *EM)
X = {"inputs": {"x": [[2.0, 4.0, 6.0, 8.0]]}}

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def home(laptop: Laptop) -> Path:
    """The folder of the one host of a deployment that stands."""
    laptop.write_job("delivery", "inf2.xlarge")
    # In a folder of its own: beside it lie the hosts, and a model's whole folder travels.
    (laptop.folder / "model").mkdir()
    (laptop.folder / "model.py").rename(laptop.folder / "model" / "model.py")
    # Where this machine's pip finds PyTorch, hosts' packages come from there too.
    (laptop.folder / "amazonei.toml").write_text('[hosts]\ntorch_index = ""\n')
    laptop.amazonei("setup", *EM, "--accelerator", "inf2.xlarge", "--yes").ok()
    (host,) = (laptop.folder / "state/amazonei/emulator/hosts").iterdir()
    return host / "amazonei"


def test_a_host_serves_from_packages_that_came_through_the_bucket(laptop: Laptop, home: Path) -> None:
    artifact = laptop.amazonei(*MODEL, "--output", "json").ok().document["artifact"]
    ship = ("ship", artifact, *EM, "--wheelhouse", "--output", "json")
    would = laptop.amazonei(*ship, "--dry-run", timeout_s=600).ok().document
    assert would["wheel_bytes"] > 50e6
    done = laptop.amazonei(*ship, timeout_s=1800).ok().document
    environment = home / f"venv-{done['wheelhouse']}"
    current = json.loads((home / "current.json").read_text())
    assert current["python"] == f"{environment}/bin/python"
    program = "import torch, mosec; print(torch.__file__)"
    found = subprocess.run(
        [environment / "bin/python", "-I", "-c", program], check=True, capture_output=True, text=True
    )
    assert found.stdout.startswith(str(environment))  # not this machine's own
    answer = laptop.amazonei("invoke", *EM, "--input-file", "-", stdin=json.dumps(X)).ok().document
    assert list(answer["outputs"].values()) == [[[1.0, 2.0, 3.0, 4.0]]]
    assert laptop.amazonei(*ship, "--dry-run").ok().document["wheel_bytes"] == 0
    with laptop.requests() as requests:
        again = laptop.amazonei(*ship).ok().document
    assert requests == [("HEAD", "models"), ("PUT", "requests")]  # and nothing about the wheels
    (state,) = again["hosts"].values()
    assert state["changed"] is False


def test_a_model_is_compiled_by_the_sdk_of_the_host(laptop: Laptop, home: Path) -> None:
    (home / "venv").unlink(missing_ok=True)
    compile_it = (*MODEL, "--on", "host", "--out", "made", "--output", "json")
    without = laptop.amazonei(*compile_it)
    assert without.code == 4
    assert "pip install --extra-index-url=" in without.document["error"]["hint"]

    plant_sdk(home / "venv")
    made = laptop.amazonei(*compile_it).ok().document
    assert (made["lane"], made["stand_in"]) == ("emulated-torch-neuronx", True)
    verified = laptop.amazonei("verify", made["artifact"], "--output", "json").ok().document
    assert verified["digest"] == made["digest"]


def test_without_a_deployment_the_hint_is_the_command_that_makes_one(laptop: Laptop) -> None:
    laptop.write_job("nowhere", "inf2.xlarge")
    missing = laptop.amazonei(*MODEL, "--on", "host", "--name", "nowhere", "--output", "json")
    assert missing.code == 5
    assert "amazonei setup --name nowhere" in missing.document["error"]["hint"]
