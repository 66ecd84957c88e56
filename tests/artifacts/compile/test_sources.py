from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers

from artifacts.archive import open_verified
from artifacts.compile.dummies import inferred
from artifacts.compile.loading import _settle, load_model
from artifacts.compile.pipeline import compile_model
from artifacts.compile.request import CompileRequest, Method
from artifacts.compile.subject import prepare_subject
from artifacts.errors import BadRequest

if TYPE_CHECKING:
    from pathlib import Path

_SMALL: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}


def _specs(model: torch.nn.Module) -> list[str]:
    """Return the SPECs as one types them."""
    return [
        str(spec) if spec.low is None else f"{spec}:{spec.low:g}..{spec.high:g}" for spec in inferred(model)
    ]


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        (
            transformers.BertModel,
            transformers.BertConfig(**_SMALL, vocab_size=11),
            [
                "input_ids=int64[1,128]:0..11",
                "attention_mask=int64[1,128]:0..2",
                "token_type_ids=int64[1,128]:0..2",
            ],
        ),
        (
            transformers.RobertaModel,
            transformers.RobertaConfig(**_SMALL, vocab_size=11, max_position_embeddings=34),
            ["input_ids=int64[1,32]:0..11", "attention_mask=int64[1,32]:0..2"],
        ),
        (
            transformers.T5Model,
            transformers.T5Config(d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2, vocab_size=11),
            [
                "input_ids=int64[1,128]:0..11",
                "attention_mask=int64[1,128]:0..2",
                "decoder_input_ids=int64[1,32]:0..11",
            ],
        ),
        (
            transformers.ViTModel,
            transformers.ViTConfig(**_SMALL, image_size=16, patch_size=8, num_channels=1),
            ["pixel_values=float32[1,1,16,16]"],
        ),
    ],
)
def test_the_inputs_of_a_hugging_face_model_are_inferred_and_it_runs_on_them(
    kind: Any, config: Any, expected: list[str]
) -> None:
    _settle(config)
    model = kind(config)
    specs = _specs(model)
    assert [
        text for text in specs if not text.startswith("token_type") or kind is transformers.BertModel
    ] == (expected)
    prepare_subject(model, inferred(model))


def test_nothing_is_inferred_for_another_model() -> None:
    assert inferred(torch.nn.Linear(1, 1)) == ()


def test_a_hugging_face_directory_is_compiled_without_naming_inputs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.BertConfig(**_SMALL, vocab_size=11, max_position_embeddings=16)
    transformers.BertModel(config).save_pretrained(tmp_path / "tiny-bert")
    request = CompileRequest(
        model=str(tmp_path / "tiny-bert"),
        inputs=(),
        target="c7i.xlarge",
        out_dir=tmp_path,
        method=Method.TRACE,
    )
    result = compile_model(request, progress=lambda _: None)
    with closing(open_verified(result.artifact)) as contents:
        assert [str(spec) for spec in contents.manifest.inputs] == [
            "input_ids=int64[1,16]",
            "attention_mask=int64[1,16]",
            "token_type_ids=int64[1,16]",
        ]


class TwoInputs(torch.nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"sum": left + right.float()}


@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning")  # torch's own
def test_an_exported_program_brings_its_own_inputs(tmp_path: Path) -> None:
    file = tmp_path / "two.pt2"
    given = (torch.ones(2, 3), torch.ones(3, dtype=torch.int64))
    torch.export.save(torch.export.export(TwoInputs(), given), file)
    assert [str(spec) for spec in load_model(str(file)).inputs] == ["left=float32[2,3]", "right=int64[3]"]
    request = CompileRequest(model=str(file), inputs=(), target="c7i.xlarge", out_dir=tmp_path)
    result = compile_model(request, progress=lambda _: None)
    with closing(open_verified(result.artifact)) as contents:
        assert [str(spec) for spec in contents.manifest.outputs] == ["sum=float32[2,3]"]


class NestedInputs(torch.nn.Module):
    def forward(self, batch: dict[str, list[torch.Tensor]], levels: dict[int, torch.Tensor]) -> torch.Tensor:
        first, second = batch["ends"]
        return first - 2 * second + levels[3] * levels[5]


@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning")  # torch's own
def test_the_inputs_of_an_exported_program_are_named_by_their_paths(tmp_path: Path) -> None:
    file = tmp_path / "nested.pt2"
    first, second, third, fourth = (torch.ones(2) for _ in range(4))  # one tensor twice would be one input
    given = ({"ends": [first, second]}, {3: third, 5: fourth})
    torch.export.save(torch.export.export(NestedInputs(), given), file)
    loaded = load_model(str(file))
    names = ["batch.ends.0", "batch.ends.1", "levels.3", "levels.5"]
    assert [spec.name for spec in loaded.inputs] == names
    subject = prepare_subject(loaded.module, loaded.inputs)
    request = {name: torch.tensor([float(index), 10.0]) for index, name in enumerate(names)}
    (answer,) = subject.run(request)
    torch.testing.assert_close(answer, torch.tensor([0.0 - 2 * 1 + 2 * 3, 90.0]))


def test_a_model_that_says_nothing_of_its_inputs_needs_them_named(tmp_path: Path) -> None:
    request = CompileRequest(model="torch.nn:ReLU", inputs=(), target="c7i.xlarge", out_dir=tmp_path)
    with pytest.raises(BadRequest, match="no inputs"):
        compile_model(request, progress=lambda _: None)


def test_tied_weights_are_asked_to_be_cloned_where_transformers_still_can() -> None:
    older, newer = SimpleNamespace(torchscript=False, use_cache=True), SimpleNamespace(use_cache=True)
    _settle(older)
    _settle(newer)
    assert vars(older) == {"torchscript": True, "use_cache": False}
    assert vars(newer) == {"use_cache": False}
