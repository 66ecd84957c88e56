from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch

from artifacts.archive import open_verified
from artifacts.compile.dummies import padding
from artifacts.compile.inspection import inspect_artifact
from artifacts.compile.loading import load_model
from artifacts.compile.pipeline import compile_model
from artifacts.compile.request import CompileRequest, CompileResult
from artifacts.errors import BadRequest, CompileError
from artifacts.serve import handler
from artifacts.serve.golden import read_goldens
from artifacts.serve.program import load_program

if TYPE_CHECKING:
    from artifacts.serve.handler import Handler

MODELS = Path(__file__).parents[1] / "sized_models.py"
TOKENS = ("input_ids=int64[1..4,3..12]:0..50", "attention_mask=int64[1..4,3..12]:0..2")
ATOL = 1e-4


def compile_(name: str, inputs: tuple[str, ...], out: Path, pads: tuple[str, ...] = ()) -> CompileResult:
    request = CompileRequest(
        model=f"{MODELS}:{name}", inputs=inputs, target="c7i.xlarge", out_dir=out, pads=pads, atol=ATOL
    )
    return compile_model(request, progress=lambda _: None)


def unpacked(result: CompileResult, directory: Path) -> Path:
    directory.mkdir()
    with closing(open_verified(result.artifact, expected_digest=result.digest)) as contents:
        contents.unpack(directory)
    return directory


def served(result: CompileResult, directory: Path) -> Handler:
    return handler.load(unpacked(result, directory), threads=1)


@pytest.fixture(scope="module")
def attends(tmp_path_factory: pytest.TempPathFactory) -> tuple[CompileResult, Path]:
    directory = tmp_path_factory.mktemp("attends")
    tokens = tuple(spec.replace("1..4", "1|4").replace("3..12", "8|12") for spec in TOKENS)
    result = compile_("Attends", tokens, directory)
    return result, unpacked(result, directory / "unpacked")


def asked(rows: int, length: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 50, (rows, length), generator=generator)
    mask = torch.randint(0, 2, (rows, length), generator=generator)
    mask[:, 0] = 1
    return {"input_ids": ids, "attention_mask": mask}


def test_any_size_in_the_range_is_answered_as_eager_answers_it_alone(
    attends: tuple[CompileResult, Path],
) -> None:
    model = load_model(f"{MODELS}:Attends").module.eval()
    loaded = handler.load(attends[1], threads=1)
    requests = [asked(rows, length, 7 * rows + length) for rows in (1, 2, 3, 4) for length in range(1, 13)]
    answers = loaded.predict_batch(requests)  # stacked, with others of other lengths
    with torch.no_grad():
        for request, answer in zip(requests, answers, strict=True):
            torch.testing.assert_close(answer, dict(model(**request)), atol=ATOL, rtol=0)


def test_the_artifact_holds_a_program_and_a_golden_request_for_each_bucket(
    attends: tuple[CompileResult, Path],
) -> None:
    result, directory = attends
    assert [path.name for path in directory.glob("program*.pt")] == ["program.pt"]  # weights are once in it
    together = load_program(directory / "program.pt", "none")
    assert [name for name, _ in together.named_children()] == ["for_4x12", "for_4x8", "for_1x12", "for_1x8"]
    lengths = [golden.inputs["input_ids"].shape for golden in read_goldens(directory)]
    assert lengths == [(4, 12), (3, 10), (3, 4), (1, 10), (1, 4)]
    assert result.parity.passed
    assert result.parity.inputs_checked > 4 * 6


def test_inspection_shows_the_program_for_the_largest_sizes(attends: tuple[CompileResult, Path]) -> None:
    found = inspect_artifact(attends[0].artifact)
    assert dict(found.operators)["aten::softmax"] == 1
    assert found.parameters >= 50 * 8 + 8 * 8


def test_outputs_say_which_of_their_dimensions_follow(attends: tuple[CompileResult, Path]) -> None:
    manifest = handler.load(attends[1], threads=1).manifest
    assert list(map(str, manifest.outputs)) == ["tokens=float32[1..4,1..12,8]", "mean=float32[1..4,8]"]


def test_a_range_of_rows_is_served_up_to_the_largest_batch(tmp_path: Path) -> None:
    result = compile_("Rows", ("x=float32[1..3,4]",), tmp_path)
    loaded = served(result, tmp_path / "unpacked")
    model = load_model(f"{MODELS}:Rows").module.eval()
    requests = [{"x": torch.randn(rows, 4)} for rows in (1, 1, 2, 3, 1)]
    assert loaded.batch_limit == 3
    for request, answer in zip(requests, loaded.predict_batch(requests), strict=True):
        torch.testing.assert_close(answer["output"], model(request["x"]), atol=ATOL, rtol=0)
    with pytest.raises(BadRequest, match=r"expected x=float32\[1\.\.3,4\]"):
        loaded.check({"x": torch.randn(4, 4)})


@pytest.mark.parametrize(
    ("name", "inputs", "said"),
    [
        (
            "TakesTheMean",
            ("input_ids=int64[1,4..8]:0..50",),
            r"changes when it is filled up.*mask as an input",
        ),
        ("SumsButPadding", ("input_ids=int64[1,4..8]:0..50",), "changes when it is filled up.*--pad"),
        ("IgnoresItsMask", TOKENS, "changes when it is filled up.*attention_mask masks with 0"),
        ("ServesOddLengthsOtherwise", TOKENS, "changes when it is filled up"),
        ("ComparesRows", ("x=float32[1..4,2]",), "changes when it is filled up|no batch"),
        ("LooksAtEarlierRows", ("x=float32[1..4,2]",), "first dimension is no batch"),
        ("Halves", ("x=float32[1,4..8]",), "Dimension 1 of output output is 4 at length 8 and 2 at 4"),
    ],
)
def test_a_model_that_cannot_be_filled_up_is_refused(
    name: str, inputs: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(CompileError) as refused:
        compile_(name, inputs, tmp_path)
    assert re.search(said, f"{refused.value.message} {refused.value.hint}")
    assert not list(tmp_path.iterdir())


def test_a_padding_value_makes_a_model_without_a_mask_fit(tmp_path: Path) -> None:
    result = compile_("SumsButPadding", ("input_ids=int64[1,6|12]:0..50",), tmp_path, ("input_ids=1",))
    loaded = served(result, tmp_path / "unpacked")
    model = load_model(f"{MODELS}:SumsButPadding").module.eval()
    ids = torch.tensor([[5, 6, 7, 1, 9, 10, 11]])
    (answer,) = loaded.predict_batch([{"input_ids": ids}])
    torch.testing.assert_close(answer["output"], model(ids), atol=ATOL, rtol=0)


@pytest.mark.parametrize(
    ("pads", "said"),
    [(("ids=1",), "ids, which is no input"), (("input_ids=50",), r"50 of input_ids is outside of 0\.\.50")],
)
def test_a_padding_value_that_cannot_be_is_a_bad_request(
    pads: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadRequest, match=said):
        compile_("SumsButPadding", ("input_ids=int64[1,6|12]:0..50",), tmp_path, pads)


def test_a_hugging_face_model_says_what_its_tokens_are_filled_up_with() -> None:
    roberta = torch.nn.Identity()
    roberta.config = SimpleNamespace(pad_token_id=1)  # type: ignore[assignment]
    assert padding(roberta) == {"input_ids": 1.0, "decoder_input_ids": 1.0}
    roberta.config = SimpleNamespace(pad_token_id=None)  # type: ignore[assignment]
    assert padding(roberta) == {}
    assert padding(torch.nn.Identity()) == {}
