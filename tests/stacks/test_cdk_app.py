from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stacks.node import packaged_node, prepare_node

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from stacks.synth import SynthesizedStack

ROOT = Path(__file__).parents[2]
CDK = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))
# What the CDK's command line says on its own, whatever cdk.json says.
COMMAND_LINE = {"aws:cdk:enable-path-metadata": True, "aws:cdk:enable-asset-metadata": True}


def run_app(directory: Path, **context: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "app.py"],
        cwd=directory,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "CDK_OUTDIR": str(directory / "cdk.out"),
            "CDK_CONTEXT_JSON": json.dumps({**CDK["context"], **COMMAND_LINE, **context}),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_cdk_writes_the_bytes_that_the_command_line_deploys(
    tmp_path: Path, deployments: Mapping[str, tuple[SynthesizedStack, ...]]
) -> None:
    (tmp_path / "amazonei.toml").write_text(
        'region = "us-east-1"\n[[targets]]\naccelerator = "g6.xlarge"\n', encoding="utf-8"
    )
    done = run_app(
        tmp_path,
        name="resnet-bench",
        region="us-west-2",
        ttl="90m",
        accelerator="c7i.xlarge,inf2.xlarge,eia2.medium",
        allow_retired="true",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = {
        path.name.removesuffix(".template.json"): path.read_text(encoding="utf-8")
        for path in (tmp_path / "cdk.out").glob("*.template.json")
    }
    assert written == {stack.name: stack.body for stack in deployments["three"]}
    manifest = json.loads((tmp_path / "cdk.out" / "manifest.json").read_text(encoding="utf-8"))
    tags = {name: manifest["artifacts"][name]["properties"]["tags"] for name in written}
    assert tags == {name: {"amazonei:deployment": "resnet-bench"} for name in written}


def test_a_retired_accelerator_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    done = run_app(tmp_path, region="us-west-2", accelerator="eia2.medium")
    assert done.returncode == 1
    assert done.stderr.startswith("eia2.medium is retired since 2024-10-10")
    assert "-c allow_retired=true" in done.stderr
    assert not list((tmp_path / "cdk.out").glob("*.template.json"))


def test_a_bad_request_ends_without_a_traceback(tmp_path: Path) -> None:
    done = run_app(tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "No region is given."
    assert "Traceback" not in done.stderr


def test_the_cdk_is_loaded_by_synthesis_alone() -> None:
    program = (
        "import sys, app, stacks.closure, stacks.settings, stacks.synth;"
        "sys.exit(', '.join({'aws_cdk', 'jsii', 'boto3', 'torch', 'click'} & set(sys.modules)) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_packaged_node_is_one_that_the_cdk_supports() -> None:
    version = subprocess.run(
        [packaged_node(), "--version"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert int(version.removeprefix("v").split(".")[0]) >= 22


def test_a_node_that_the_user_chose_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSII_NODE", "/usr/local/bin/node")
    prepare_node()
    assert os.environ["JSII_NODE"] == "/usr/local/bin/node"


def test_without_a_choice_the_packaged_node_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSII_NODE", "")
    monkeypatch.delenv("JSII_NODE")
    prepare_node()
    assert os.environ["JSII_NODE"] == str(packaged_node())
