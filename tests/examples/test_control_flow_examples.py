from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from artifacts.archive import open_verified
from artifacts.compile.loading import load_model
from artifacts.compile.pipeline import compile_model
from artifacts.compile.request import CompileRequest
from artifacts.serve import handler
from artifacts.serve.sampling import sample

if TYPE_CHECKING:
    from artifacts.serve.handler import Handler

EXAMPLES = Path(__file__).parents[2] / "examples"


def _served(model: str, spec: str, directory: Path) -> tuple[Handler, str]:
    request = CompileRequest(model=model, inputs=(spec,), target="c7i.xlarge", out_dir=directory)
    result = compile_model(request, progress=lambda _: None)
    unpacked = directory / "unpacked"
    unpacked.mkdir()
    with closing(open_verified(result.artifact)) as contents:
        contents.unpack(unpacked)
    return handler.load(unpacked, threads=1), result.lane


def test_a_beam_search_with_a_sorted_class_answers_like_its_python(tmp_path: Path) -> None:
    source = f"{EXAMPLES}/dialogue.py:parser"
    host, lane = _served(source, "words=int64[1,12]:0..50", tmp_path)
    assert lane.startswith("script")
    model = load_model(source).module.eval()
    plans = set()
    for seed in range(20, 40):
        inputs = sample(host.manifest.inputs, seed)
        with torch.no_grad():
            actions, score = model(**inputs)
        (answer,) = host.predict_batch([inputs])
        assert torch.equal(answer["output0"], actions)
        torch.testing.assert_close(answer["output1"], score)
        plans.add(tuple(actions.tolist()))
    assert len(plans) > 1  # the search found different plans, so it was not frozen to one


def test_a_loop_with_branches_and_print_answers_like_its_python(tmp_path: Path) -> None:
    source = f"{EXAMPLES}/loop_rnn.py:loop_rnn"
    host, lane = _served(source, "x=float32[5,1,4]", tmp_path)
    assert lane.split("+")[0] in {"script", "mix"}
    model = load_model(source).module.eval()
    for scale in (0.1, -1.0, 1.0, 50.0):
        inputs = {"x": sample(host.manifest.inputs, 31)["x"] * scale}
        with torch.no_grad():
            states, last = model(**inputs)
        (answer,) = host.predict_batch([inputs])
        torch.testing.assert_close(answer["output0"], states)
        torch.testing.assert_close(answer["output1"], last)
