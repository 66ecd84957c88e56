from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

EXAMPLE = Path(__file__).parents[2] / "examples" / "minilm.py"


@pytest.fixture(scope="module")
def minilm() -> Any:
    spec = importlib.util.spec_from_file_location("minilm_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sentences_of_one_meaning_are_near_and_others_are_far(minilm: Any, tmp_path: Path) -> None:
    model = minilm.sentence_encoder().eval()
    sentences = {
        "food": "A man is eating food.",
        "pasta": "A man eats a plate of pasta.",
        "plane": "The plane is taking off.",
    }
    for name, sentence in sentences.items():
        inputs = {key: torch.tensor(value) for key, value in minilm.request(sentence)["inputs"].items()}
        with torch.no_grad():
            answer = model(**inputs)
        assert answer.shape == (1, 384)
        (tmp_path / f"{name}.json").write_text(json.dumps({"outputs": {"output": answer.tolist()}}), "utf-8")
    lines = minilm.compare([tmp_path / f"{name}.json" for name in sentences])
    assert lines[0].endswith(f"{tmp_path}/food.json  {tmp_path}/pasta.json")
    near, *far = (float(line.split()[0]) for line in lines)
    assert near > 0.6
    assert max(far) < 0.2


def test_the_specs_fit_the_requests(minilm: Any) -> None:
    from artifacts.manifest import parse_specs

    specs = {spec.name: spec for spec in parse_specs(minilm.INPUTS)}
    inputs = minilm.request("Short.")["inputs"]
    assert set(inputs) == set(specs)
    for name, spec in specs.items():
        assert tuple(torch.tensor(inputs[name]).shape) == spec.shape


@pytest.mark.parametrize(
    "arguments", [[], ["compare", "one.json"], ["compare", "missing.json", "missing.json"]]
)
def test_a_wrong_command_line_ends_with_one_message(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
