from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stacks.synth import SynthesizedStack

CFN_LINT = Path(sys.executable).with_name("cfn-lint")
REGIONS = ("us-west-2", "us-east-1")
# cfn-lint knows the IAM actions of today; those of Elastic Inference went with the service.
EXPECTED = ("W3037", "'elastic-inference' is not one of")


def test_cfn_lint_accepts_every_template_in_both_regions(
    tmp_path: Path, deployments: Mapping[str, tuple[SynthesizedStack, ...]]
) -> None:
    for deployment, stacks in deployments.items():
        for stack in stacks:
            (tmp_path / f"{deployment}-{stack.name}.json").write_text(stack.body, encoding="utf-8")
    found = lint(sorted(tmp_path.iterdir()))
    unexpected = [match for match in found if not is_expected(match)]
    assert unexpected == []
    assert len(found) == 2, "the two templates with an Elastic Inference role"


def test_cfn_lint_is_really_looking(
    tmp_path: Path, deployments: Mapping[str, tuple[SynthesizedStack, ...]]
) -> None:
    (stack,) = deployments["cpu"]
    broken = tmp_path / "broken.json"
    broken.write_text(stack.body.replace('"c7i.xlarge"', '"c7i.tiny"'), encoding="utf-8")
    assert "E3628" in {match["Rule"]["Id"] for match in lint([broken])}


def lint(templates: list[Path]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [CFN_LINT, "--format", "json", "--regions", *REGIONS, "--", *templates],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    matches: list[dict[str, Any]] = json.loads(done.stdout)
    return matches


def is_expected(match: dict[str, Any]) -> bool:
    return (match["Rule"]["Id"], match["Message"][: len(EXPECTED[1])]) == EXPECTED
