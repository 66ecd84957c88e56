from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.py"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Any:
    spec = importlib.util.spec_from_file_location("digits_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def classifier(digits: Any) -> torch.nn.Module:
    model = digits.digit_classifier()
    assert isinstance(model, torch.nn.Module)
    return model


def test_the_classifier_knows_digits_it_never_saw(digits: Any, classifier: torch.nn.Module) -> None:
    assert digits.held_out_accuracy(classifier) >= 0.95


def test_the_trained_weights_are_kept(digits: Any, classifier: torch.nn.Module) -> None:
    assert (digits.cache_directory() / f"{digits.RECIPE}.pt").exists()
    torch.testing.assert_close(digits.digit_classifier().state_dict(), classifier.state_dict())


def test_a_request_answered_is_the_digit_asked_for(digits: Any, classifier: torch.nn.Module) -> None:
    right = 0
    for digit in range(10):
        document, drawing = digits.request(digit)
        with torch.no_grad():
            logits = classifier(torch.tensor(document["inputs"]["image"]))
        said = digits.answer({"outputs": {"output": logits.tolist()}})
        right += said.startswith(f"this is a {digit} (")
        assert len(drawing.splitlines()) == 8
    assert right >= 9


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"outputs": {"output": []}}'])
def test_what_is_no_answer_ends_with_one_message(text: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "answer"], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "not a response of the digit classifier" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_answer_is_read_from_what_invoke_prints() -> None:
    logits = [0.0] * 10
    logits[3] = 9.0
    document = {"response": {"outputs": {"output": [logits]}}}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "answer"],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "this is a 3 (99.9 %)\n"
