from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import transformers

from artifacts.compile.loading import artifact_name, load_model
from artifacts.errors import BadRequest, CompileError
from artifacts.serve.program import torchscript_expected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

X = torch.tensor([[1.0, -2.0, 3.0, 0.5]])


@pytest.mark.parametrize("name", ["two_layers", "TwoLayers", "an_instance"])
def test_a_function_a_class_and_an_instance_name_the_same_model(
    name: str, model_of: Callable[[str], str]
) -> None:
    answer = load_model(model_of(name)).module(X)
    torch.testing.assert_close(answer, load_model(model_of("two_layers")).module(X))


def test_a_model_is_found_by_its_import_path() -> None:
    loaded = load_model("torch.nn:Identity")
    assert loaded.name == "identity"
    assert torch.equal(loaded.module(X), X)


def test_a_torchscript_file_is_loaded(tmp_path: Path) -> None:
    with torchscript_expected():
        torch.jit.save(torch.jit.script(torch.nn.ReLU()), tmp_path / "My relu.pt")
    loaded = load_model(str(tmp_path / "My relu.pt"))
    assert loaded.name == "my-relu"
    assert torch.equal(loaded.module(X), X.clamp(min=0))


def test_an_exported_program_is_loaded(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(torch.nn.ReLU(), (X,)), tmp_path / "relu.pt2")
    assert torch.equal(load_model(str(tmp_path / "relu.pt2")).module(X), X.clamp(min=0))


def test_a_hugging_face_directory_is_loaded_without_a_network(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=11
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "tiny-bert")
    loaded = load_model(str(tmp_path / "tiny-bert"))
    assert loaded.name == "tiny-bert"
    assert type(loaded.module).__name__ == "BertModel"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("nonsense", "is not a model"),
        ("missing.py:f", "no file missing.py"),
        ("missing.pt", "no file missing.pt"),
        ("no.such.module:f", "no module 'no.such.module'"),
        ("torch.nn:Identitty", "Did you mean 'Identity'"),
        ("torch.nn:", "is not a model"),
        ("tests", "has no config.json"),
    ],
)
def test_what_names_no_model_is_a_bad_request(text: str, part: str) -> None:
    with pytest.raises(BadRequest) as refused:
        load_model(text)
    assert part in refused.value.message
    assert "package.module:callable" in refused.value.hint


@pytest.mark.parametrize("name", ["not_a_model", "returns_no_module"])
def test_what_is_no_module_is_a_bad_request(name: str, model_of: Callable[[str], str]) -> None:
    with pytest.raises(BadRequest):
        load_model(model_of(name))


def test_a_file_that_fails_is_reported_with_its_line(tmp_path: Path) -> None:
    source = tmp_path / "fails.py"
    source.write_text("\n\nraise KeyError('weights')\n", encoding="ascii")
    with pytest.raises(CompileError, match="KeyError: 'weights'") as refused:
        load_model(f"{source}:model")
    assert refused.value.hint.endswith("fails.py:3.")


@pytest.mark.parametrize(("text", "name"), [("ResNet_50 (v2)", "resnet-50-v2"), ("…", "model")])
def test_an_artifact_is_called_after_its_model(text: str, name: str) -> None:
    assert artifact_name(text) == name
