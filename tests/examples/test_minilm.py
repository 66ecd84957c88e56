from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch

from artifacts.archive import open_verified
from artifacts.compile.pipeline import compile_model
from artifacts.compile.request import CompileRequest
from artifacts.serve import handler

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


def compiled(inputs: tuple[str, ...], folder: Path) -> handler.Handler:
    """Compile the example for these inputs, and open what came out as a host does."""
    source = f"{EXAMPLE}:sentence_encoder"
    asked = CompileRequest(model=source, inputs=inputs, target="c7i.xlarge", out_dir=folder)
    result = compile_model(asked, progress=lambda _: None)
    with closing(open_verified(result.artifact)) as contents:
        contents.unpack(folder)
    return handler.load(folder, threads=1)


def test_the_winning_lane_ranks_sentences_as_the_model_does(minilm: Any, tmp_path: Path) -> None:
    served = compiled(minilm.INPUTS, tmp_path)
    sentences = (
        "A man is eating food.",
        "A man eats a plate of pasta.",
        "The plane is taking off.",
        "An aircraft departs from the runway.",
        "The man is not eating.",
    )
    requests = [served.read_json(minilm.request(sentence)) for sentence in sentences]
    vectors = [answer["output"][0].tolist() for answer in served.predict_batch(requests)]
    model = minilm.sentence_encoder().eval()
    with torch.no_grad():
        expected = [model(**each)[0].tolist() for each in requests]
    assert _ranking(minilm, vectors) == _ranking(minilm, expected)
    assert _ranking(minilm, vectors)[0] == (0, 4)  # it hears the same words, and not the negation
    assert _ranking(minilm, vectors)[-1] in {(0, 2), (0, 3), (1, 2), (1, 3), (2, 4), (3, 4)}


@pytest.mark.nightly
def test_sentences_as_long_as_they_are_rank_as_padded_ones_do(minilm: Any, tmp_path: Path) -> None:
    served = compiled(minilm.SIZED_INPUTS, tmp_path)
    sentences = (
        "A man is eating food.",
        "A man eats a plate of pasta that his sister, who came by train, cooked for the two of them.",
        "The plane is taking off.",
        "An aircraft departs from the runway.",
        "Run!",
    )
    alone = [served.read_json(minilm.request(sentence, padded=False)) for sentence in sentences]
    lengths = [request["input_ids"].shape[1] for request in alone]
    assert min(lengths) < 16 < max(lengths) < 32
    vectors = [answer["output"][0].tolist() for answer in served.predict_batch(alone)]
    model = minilm.sentence_encoder().eval()
    padded = [served.read_json(minilm.request(sentence)) for sentence in sentences]
    with torch.no_grad():
        expected = [model(**each)[0].tolist() for each in padded]
    torch.testing.assert_close(torch.tensor(vectors), torch.tensor(expected), atol=1e-3, rtol=0)
    assert _ranking(minilm, vectors) == _ranking(minilm, expected)


def test_the_lengths_of_the_example_are_those_of_its_configuration(minilm: Any) -> None:
    import tomllib

    configured = tomllib.loads(EXAMPLE.with_name("minilm-lengths.toml").read_text(encoding="utf-8"))
    assert tuple(configured["model"]["inputs"]) == minilm.SIZED_INPUTS
    assert len(minilm.request("Short.", padded=False)["inputs"]["input_ids"][0]) == 4


def _ranking(minilm: Any, vectors: list[list[float]]) -> list[tuple[int, int]]:
    """Return the pairs of sentences, the most similar first."""
    pairs = combinations(range(len(vectors)), 2)
    return sorted(pairs, key=lambda pair: -minilm.similarity(vectors[pair[0]], vectors[pair[1]]))


def test_the_specs_fit_the_requests(minilm: Any) -> None:
    from artifacts.specs import parse_specs

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
