"""Networks that differ in their head alone, and what that changes in their archives."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


def changed_bytes(one: bytes, other: bytes) -> int:
    """Return how many bytes of two archives of one size lie in values that differ.

    Bytes that are equal by chance, between others of a random value that are not, count as changed.
    """
    places = np.flatnonzero(np.frombuffer(one, np.uint8) != np.frombuffer(other, np.uint8))
    return sum(int(run[-1] - run[0] + 1) for run in np.split(places, np.flatnonzero(np.diff(places) > 8) + 1))


def classifier(layers: int, labels: int, head: int) -> nn.Module:
    """A BERT of the base size, or with fewer layers and words; heads differ in their weights."""
    import torch
    import transformers

    words = 30522 if layers > 2 else 300
    config = transformers.BertConfig(num_hidden_layers=layers, return_dict=False, vocab_size=words)
    config.num_labels = labels
    torch.manual_seed(0)
    model: Any = transformers.BertForSequenceClassification(config)
    torch.manual_seed(head)
    model.classifier.reset_parameters()
    torch.nn.init.normal_(model.classifier.bias)
    network: nn.Module = model.eval()
    return network


def write_program(folder: Path, layers: int, labels: int, head: int, *, frozen: bool) -> None:
    """Trace a classifier in a process of its own, as `compile` does: class names count up within one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(_write_program, folder, layers, labels, head, frozen=frozen).result()


def _write_program(folder: Path, layers: int, labels: int, head: int, *, frozen: bool) -> None:
    import torch
    from safetensors.torch import save_file

    model, ids = classifier(layers, labels, head), torch.arange(128)[None]
    with torch.no_grad():
        program = torch.jit.trace(model, (ids,))  # type: ignore[no-untyped-call]
        save_file({"input.ids": ids, "output.output": model(ids)[0]}, folder / "golden.safetensors")
    (torch.jit.freeze(program) if frozen else program).save(str(folder / "program.pt"))
