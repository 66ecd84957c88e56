from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from artifacts.archive import open_verified
from artifacts.compile.accuracy import read_labelled
from artifacts.compile.layout import reshaped
from artifacts.compile.loading import load_model
from artifacts.compile.pipeline import compile_model
from artifacts.compile.quantization import calibrated, quantized
from artifacts.compile.recording import record
from artifacts.compile.request import CompileRequest, Method
from artifacts.compile.subject import prepare_subject
from artifacts.compile.torchscript import script
from artifacts.errors import BadRequest, CompileError
from artifacts.serve import handler
from artifacts.serve.sampling import sample
from artifacts.specs import parse_specs
from tests.artifacts import declared_models
from tests.artifacts import nested_models as models

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.compile.request import CompileResult
    from artifacts.serve.handler import Handler

MODELS = Path(models.__file__)
X, OTHER = "batch.x=float32[1,4]", "batch.other=float32[1,4]"


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[..., CompileResult]:
    def compile_(name: str, *inputs: str, **choices: Any) -> CompileResult:
        source = name if name.endswith(".pt") else f"{MODELS}:{name}"
        out = tmp_path / "out"
        request = CompileRequest(model=source, inputs=inputs, target="c7i.xlarge", out_dir=out, **choices)
        return compile_model(request, progress=lambda _: None)

    return compile_


def opened(result: CompileResult, directory: Path) -> Handler:
    directory.mkdir()
    with closing(open_verified(result.artifact, expected_digest=result.digest)) as contents:
        contents.unpack(directory)
    return handler.load(directory, threads=1)


def random(*names: str, scale: float = 1.0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(len(names))
    return {name: torch.randn(1, 4, generator=generator) * scale for name in names}


def specs(*names: str) -> list[str]:
    return [f"{name}=float32[1,4]" for name in names]


LEFT_RIGHT = ("left", "right")


@pytest.mark.parametrize("method", [Method.TRACE, Method.SCRIPT])
@pytest.mark.parametrize(
    ("name", "paths", "arguments"),
    [
        (
            "TakesADictionary",
            ("shift", "batch.pixels", "batch.mask"),
            lambda a: ({"pixels": a["batch.pixels"], "mask": a["batch.mask"]}, a["shift"]),
        ),
        ("TakesATuple", ("pair.1", "pair.0", "scale"), lambda a: ((a["pair.0"], a["pair.1"]), a["scale"])),
        ("TakesAList", ("parts.0", "parts.1"), lambda a: ([a["parts.0"], a["parts.1"]],)),
        (
            "TakesTuplesByName",
            ("views.front-left.0", "views.front-left.1"),
            lambda a: ({"front-left": (a["views.front-left.0"], a["views.front-left.1"])},),
        ),
        ("TakesNumberedEntries", ("levels.0", "levels.3"), lambda a: ({0: a["levels.0"], 3: a["levels.3"]},)),
        (
            "ChangesItsInput",
            ("batch.left", "batch.right"),
            lambda a: (dict(zip(LEFT_RIGHT, a.values(), strict=True)),),
        ),
        ("ChangesItsInput", LEFT_RIGHT, lambda a: (dict(a),)),
    ],
)
def test_an_artifact_of_a_nested_argument_answers_like_the_model(
    name: str,
    paths: tuple[str, ...],
    arguments: Callable[[dict[str, torch.Tensor]], tuple[Any, ...]],
    method: Method,
    compiled: Callable[..., CompileResult],
    tmp_path: Path,
) -> None:
    host = opened(compiled(name, *specs(*paths), method=method), tmp_path / "unpacked")
    assert sorted(spec.name for spec in host.manifest.inputs) == sorted(paths)
    model = load_model(f"{MODELS}:{name}").module.eval()
    request = random(*paths)
    (answer,) = host.predict_batch([{key: tensor.clone() for key, tensor in request.items()}])
    with torch.no_grad():
        expected = model(*arguments({key: tensor.clone() for key, tensor in request.items()}))
    expected = expected if isinstance(expected, dict) else {"output": expected}
    torch.testing.assert_close(answer, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "paths", "arguments"),
    [
        ("TakesANamedTuple", ("pair.right", "pair.left"), lambda right, left: models.Pair(left, right)),
        ("TakesANamedTuple", ("right", "left"), lambda right, left: models.Pair(left, right)),
        ("TakesADataclass", ("boxes.corners", "boxes.scores"), models.Boxes),
        (
            "TakesATupleInADictionary",
            ("views.back", "views.front.0", "views.front.1"),
            lambda back, near, far: {"front": (near, far), "back": back},
        ),
        ("TakesAnUndeclaredDictionary", ("batch.b", "batch.a"), lambda b, a: {"b": b, "a": a}),
        ("TakesEitherOr", ("x.0", "x.1"), lambda *both: list(both)),
        ("TakesEitherOr", ("x",), lambda x: x),
        (
            "OnlyCheckersKnow",
            ("batch.left", "batch.right"),
            lambda *both: dict(zip(LEFT_RIGHT, both, strict=True)),
        ),
    ],
)
def test_records_and_arguments_that_say_less_are_traced(
    name: str,
    paths: tuple[str, ...],
    arguments: Callable[..., Any],
    compiled: Callable[..., CompileResult],
    tmp_path: Path,
) -> None:
    host = opened(compiled(name, *specs(*paths), method=Method.TRACE), tmp_path / "unpacked")
    request = random(*paths)
    (answer,) = host.predict_batch([request])
    expected = load_model(f"{MODELS}:{name}").module(arguments(*request.values()))
    torch.testing.assert_close(answer["output"], expected, atol=1e-4, rtol=0)


def test_an_argument_is_made_anew_for_every_call_and_tensors_are_copies() -> None:
    subject = prepare_subject(
        models.ChangesItsInput(), parse_specs(tuple(specs("batch.left", "batch.right")))
    )
    request = random("batch.left", "batch.right")
    before = {name: tensor.clone() for name, tensor in request.items()}
    first, second = subject.run(request), subject.run(request)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(request, before)


@pytest.mark.parametrize("name", ["Decides", "DecidesInAPart"])
def test_a_decision_by_an_entry_is_kept(
    name: str, compiled: Callable[..., CompileResult], tmp_path: Path
) -> None:
    result = compiled(name, X, OTHER)
    assert result.lane.startswith("script" if name == "Decides" else "mix")
    assert any("nested_models.py:" in warning for warning in result.warnings)  # of the trace, which lost it
    host = opened(result, tmp_path / "unpacked")
    model = load_model(f"{MODELS}:{name}").module.eval()
    for scale in (1.0, -1.0, 100.0, -100.0):
        request = random("batch.x", "batch.other", scale=scale)
        expected = model({"x": request["batch.x"].clone(), "other": request["batch.other"].clone()})
        (answer,) = host.predict_batch([request])
        torch.testing.assert_close(answer["output"], expected, atol=1e-4, rtol=0)


def test_a_decision_that_can_be_neither_scripted_nor_proven_is_refused(
    compiled: Callable[..., CompileResult],
) -> None:
    with pytest.raises(CompileError, match="answers differ") as refused:
        compiled("DecidesUndeclared", X, OTHER)
    assert "script: Scripting failed" in refused.value.message
    assert "nested_models.py:" in refused.value.hint
    assert refused.value.exit_code == 4


def test_a_program_in_torchscript_that_takes_a_dictionary_keeps_its_decisions(
    compiled: Callable[..., CompileResult], tmp_path: Path
) -> None:
    torch.jit.save(torch.jit.script(models.Decides()), tmp_path / "decides.pt")
    host = opened(compiled(str(tmp_path / "decides.pt"), X, OTHER), tmp_path / "unpacked")
    for scale in (1.0, 100.0):
        request = random("batch.x", "batch.other", scale=scale)
        (answer,) = host.predict_batch([request])
        expected = models.Decides()({"x": request["batch.x"], "other": request["batch.other"]})
        torch.testing.assert_close(answer["output"], expected)


@pytest.mark.parametrize(
    ("model", "paths"),
    [
        (declared_models.DecidesByAField(), ("pair.left", "pair.right")),
        (declared_models.DecidesByAnItem(), ("items.0.x", "items.1.x")),
        (torch.jit.script(declared_models.DecidesByAnItem()), ("items.0.x", "items.1.x")),
    ],
)
def test_a_script_takes_records_and_lists_of_dictionaries(
    model: torch.nn.Module, paths: tuple[str, ...]
) -> None:
    subject = prepare_subject(model, parse_specs(tuple(specs(*paths))))
    programs = [script(subject).module for _ in range(2)]  # as for two sizes, in one process
    for scale in (1.0, -1.0):
        first, second = torch.full((1, 4), scale), torch.full((1, 4), 3.0)
        expected = first - 2 * second if scale > 0 else second
        for program in programs:
            torch.testing.assert_close(program(first, second), expected)


def test_a_program_in_torchscript_that_takes_a_record_is_refused_with_the_reason(
    compiled: Callable[..., CompileResult], tmp_path: Path
) -> None:
    torch.jit.save(torch.jit.script(declared_models.DecidesByAField()), tmp_path / "record.pt")
    with pytest.raises(CompileError, match=r"Expected a value of type '.*Pair' for argument 'pair'"):
        compiled(str(tmp_path / "record.pt"), *specs("pair.0", "pair.1"))


def test_a_script_is_called_with_inputs_that_are_not_its_first_arguments(
    compiled: Callable[..., CompileResult], tmp_path: Path
) -> None:
    result = compiled("TakesALaterArgument", *specs("x", "shift"), method=Method.SCRIPT)
    host = opened(result, tmp_path / "unpacked")
    for scale in (1.0, -1.0):
        x = torch.full((1, 4), scale)
        (answer,) = host.predict_batch([{"x": x, "shift": torch.ones(1, 4)}])
        torch.testing.assert_close(answer["output"], models.TakesALaterArgument()(x, shift=torch.ones(1, 4)))


def test_what_makes_machine_code_and_int8_takes_a_nested_argument() -> None:
    inputs = parse_specs(tuple(specs("shift", "batch.pixels", "batch.mask")))
    subject = prepare_subject(models.TakesADictionary(), inputs)
    example, request = (subject.arguments(sample(subject.inputs, seed)) for seed in (0, 1))
    expected = subject.flat(*request)
    exported = torch.export.export(reshaped(subject), example, strict=False).module()
    torch.testing.assert_close(exported(*request), expected)
    int8 = record(quantized(subject.flat), example)
    torch.testing.assert_close(int8(*request), expected, atol=0.1, rtol=0)


def test_convolutions_of_a_nested_argument_are_calibrated() -> None:
    inputs = parse_specs(("batch.image=float32[1,1,8,8]", "batch.shift=float32[1]"))
    subject = prepare_subject(models.ConvolvesInADictionary(), inputs)
    examples = [sample(subject.inputs, seed) for seed in range(8)]
    flat = calibrated(subject, examples)
    (expected,) = subject.run(examples[0])
    (found,) = flat(*subject.arguments(examples[0]))
    torch.testing.assert_close(found, expected, atol=0.1, rtol=0)


def test_labelled_examples_are_named_by_paths(tmp_path: Path) -> None:
    inputs = parse_specs(("batch.x=float32[1,4]", "batch.other=float32[1,4]"))
    rows: dict[str, Any] = {
        "batch.x": np.ones((3, 4), np.float32),
        "batch.other": np.zeros((3, 4), np.float32),
    }
    np.savez(tmp_path / "labelled.npz", labels=np.array([0, 1, 2]), **rows)
    labelled = read_labelled(tmp_path / "labelled.npz", inputs)
    assert [sorted(example) for example in labelled.examples] == [["batch.other", "batch.x"]] * 3


TOKENS = ("batch.ids=int64[1|4,8|12]:0..50", "batch.mask=int64[1|4,8|12]:0..2")


def test_sizes_in_a_dictionary_are_filled_up_and_rows_go_together(
    compiled: Callable[..., CompileResult], tmp_path: Path
) -> None:
    host = opened(compiled("AttendsInADictionary", *TOKENS, method=Method.SCRIPT), tmp_path / "unpacked")
    assert host.batch_limit == 4
    generator = torch.Generator().manual_seed(0)
    requests = []
    for rows, length in ((1, 3), (2, 8), (1, 11), (4, 12)):
        mask = torch.randint(0, 2, (rows, length), generator=generator)
        mask[:, 0] = 1
        ids = torch.randint(0, 50, (rows, length), generator=generator)
        requests.append({"batch.ids": ids, "batch.mask": mask})
    model = load_model(f"{MODELS}:AttendsInADictionary").module.eval()
    with torch.no_grad():
        for request, answer in zip(requests, host.predict_batch(requests), strict=True):
            expected = model({"ids": request["batch.ids"], "mask": request["batch.mask"]})
            torch.testing.assert_close(answer["output"], expected, atol=1e-4, rtol=0)


def test_a_padding_value_is_named_by_its_path(compiled: Callable[..., CompileResult], tmp_path: Path) -> None:
    inputs = ("pair.0=int64[1,6|12]:0..50", "pair.1=float32[1,8]")
    result = compiled("SumsInATuple", *inputs, pads=("pair.0=1",), method=Method.TRACE)
    host = opened(result, tmp_path / "unpacked")
    ids, weight = torch.tensor([[5, 6, 7, 1, 9, 10, 11]]), torch.ones(1, 8)
    (answer,) = host.predict_batch([{"pair.0": ids, "pair.1": weight}])
    expected = load_model(f"{MODELS}:SumsInATuple").module((ids, weight))
    torch.testing.assert_close(answer["output"], expected, atol=1e-4, rtol=0)
    with pytest.raises(BadRequest, match=r"pair\.2, which is no input"):
        compiled("SumsInATuple", *inputs, pads=("pair.2=1",))


@pytest.mark.parametrize(
    ("name", "paths", "said"),
    [
        (
            "TakesATuple",
            ("pair.0", "pair.2", "scale"),
            "pair is a tuple, whose items are 0, 1, … without a gap",
        ),
        ("TakesATuple", ("pair.0", "pair.1", "pair.2", "scale"), "pair has no 2; it has 0, 1"),
        ("TakesATuple", ("pair.0", "scale"), "pair has 1 too, for which no SPEC is given"),
        ("TakesATuple", ("pair.left", "pair.right", "scale"), "the SPECs name left, right"),
        ("TakesATuple", ("pair.0", "pair.1", "scale.x"), "scale is declared as Tensor, and SPECs name parts"),
        ("TakesATuple", ("scale",), r"no SPEC is given for pair.*--input 'pair\.0=dtype\[shape\]'"),
        ("TakesADictionary", ("shift",), r"no SPEC is given for batch.*--input 'batch\.KEY="),
        ("TakesADictionary", ("bacth.pixels", "shift"), "it has no bacth"),
        ("TakesAList", ("parts.0", "parts.x"), "parts is a list, whose items"),
        ("TakesAList", ("parts.00", "parts.01"), "parts is a list, whose items"),
        ("TakesNumberedEntries", ("levels.low",), "levels has whole numbers as keys"),
        ("TakesANamedTuple", ("pair.left", "pair.rigth"), "pair has no rigth; it has left, right, scale"),
        ("TakesADataclass", ("boxes.corners",), "boxes has scores too"),
        ("TakesAnUndeclaredDictionary", ("batch.0", "batch.a"), "the SPECs name 0, a"),
        ("TakesAnUndeclaredDictionary", ("a", "b"), r"forward takes batch; 2 inputs are given.*batch\.mask"),
        ("TakesASettingObject", ("setting.x",), "setting is declared as Setting"),
    ],
)
def test_parts_that_an_argument_cannot_have_are_a_bad_request(
    name: str, paths: tuple[str, ...], said: str, compiled: Callable[..., CompileResult]
) -> None:
    with pytest.raises(BadRequest) as refused:
        compiled(name, *specs(*paths))
    assert refused.value.exit_code == 2
    assert refused.value.hint
    assert re.search(said, f"{refused.value.message} {refused.value.hint}")


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [
        ("TakesADictionaryOfAnything", "x", r"forward takes batch: dict, for which no SPEC.*'batch\.KEY="),
        ("TakesANamedTuple", "input0", r"failed: .*Name each tensor in pair, like --input 'pair\.left="),
        ("TakesAList", "parts", r"failed: .*Name each tensor in parts, like --input 'parts\.0="),
    ],
)
def test_an_argument_given_as_one_tensor_or_not_at_all_is_told_how_to_be_named(
    name: str, path: str, said: str, compiled: Callable[..., CompileResult]
) -> None:
    with pytest.raises((BadRequest, CompileError)) as refused:
        compiled(name, *specs(path))
    assert re.search(said, f"{refused.value.message} {refused.value.hint}")
