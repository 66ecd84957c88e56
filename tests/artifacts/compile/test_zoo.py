from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from artifacts.archive import open_verified
from artifacts.compile.loading import load_model
from artifacts.compile.pipeline import compile_model
from artifacts.compile.request import CompileRequest
from artifacts.serve import handler
from artifacts.serve.program import flatten
from artifacts.serve.sampling import sample

if TYPE_CHECKING:
    from torch import nn

ZOO = Path(__file__).parents[1] / "zoo_models.py"
FULL = ZOO.with_name("full_models.py")
LONG_IDS, LONG_MASK = "input_ids=int64[1,128]:0..30522", "attention_mask=int64[1,128]:0..2"
IDS, MASK = "input_ids=int64[1,16]:0..101", "attention_mask=int64[1,16]:0..2"


def _digest(model: nn.Module) -> str:
    state = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        state.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return state.hexdigest()


def _compile_and_serve(model: str, specs: tuple[str, ...], directory: Path) -> None:
    """Compile, open the artifact as a host does, and compare on an input that the compiler never saw."""
    request = CompileRequest(model=model, inputs=specs, target="c7i.xlarge", out_dir=directory)
    result = compile_model(request, progress=lambda _: None)
    unpacked = directory / "unpacked"
    unpacked.mkdir()
    with closing(open_verified(result.artifact, expected_digest=result.digest)) as contents:
        contents.unpack(unpacked)
    served = handler.load(unpacked, threads=1)
    eager = load_model(model).module.eval()
    inputs = sample(served.manifest.inputs, seed=77)
    before = _digest(eager)
    with torch.no_grad():
        expected = flatten(eager(**inputs) if "x" not in inputs else eager(inputs["x"]))
    assert _digest(eager) == before
    (answer,) = served.predict_batch([inputs])
    for wanted, name in zip(expected, [spec.name for spec in served.manifest.outputs], strict=True):
        torch.testing.assert_close(answer[name], wanted, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "specs"),
    [
        ("resnet18", ("x=float32[1,3,64,64]",)),
        pytest.param("resnet50", ("x=float32[1,3,64,64]",), marks=pytest.mark.nightly),
        pytest.param("vgg16", ("x=float32[1,3,32,32]",), marks=pytest.mark.nightly),
        pytest.param("inceptionv3", ("x=float32[1,3,75,75]",), marks=pytest.mark.nightly),
        ("unet", ("image=float32[1,3,32,32]",)),
        ("bert", (IDS, MASK)),
        ("bert_masked", (IDS, MASK)),
        ("gpt2", (IDS, MASK)),
        ("distilbert", (IDS, MASK)),
        ("roberta", (IDS, MASK)),
        ("t5_encoder", (IDS, MASK)),
        ("marian", (IDS, "decoder_input_ids=int64[1,4]:0..101")),
        ("vit", ("pixel_values=float32[1,3,32,32]",)),
        ("lstm", (IDS,)),
    ],
)
def test_an_architecture_that_people_deploy_compiles_verifies_and_answers(
    name: str, specs: tuple[str, ...], tmp_path: Path
) -> None:
    _compile_and_serve(f"{ZOO}:{name}", specs, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "specs"),
    [
        ("resnet18", ("x=float32[1,3,224,224]",)),
        ("resnet50", ("x=float32[1,3,224,224]",)),
        ("vgg16", ("x=float32[1,3,224,224]",)),
        ("inceptionv3", ("x=float32[1,3,299,299]",)),
        ("unet", ("image=float32[1,3,128,128]",)),
        ("bert", (LONG_IDS, LONG_MASK)),
        ("gpt2", (LONG_IDS, LONG_MASK)),
        ("distilbert", (LONG_IDS, LONG_MASK)),
        ("roberta", (LONG_IDS, LONG_MASK)),
        ("t5_encoder", (LONG_IDS, LONG_MASK)),
        ("vit", ("pixel_values=float32[1,3,224,224]",)),
    ],
)
def test_the_full_size_compiles_verifies_and_answers(
    name: str, specs: tuple[str, ...], tmp_path: Path
) -> None:
    _compile_and_serve(f"{FULL}:{name}", specs, tmp_path)
