"""A small CNN trained on scikit-learn's 1,797 real digit images, 8 x 8 pixels each.

python examples/digits.py request 7 > seven.json
amazonei invoke --input-file seven.json | python examples/digits.py answer
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

INPUTS = ("image=float32[1,1,8,8]:0..1",)
HELD_OUT = 360  # the last images, by other writers than the rest, are never trained on
EPOCHS = 30
BATCH = 64
SEED = 7
RECIPE = f"digits-cnn-2-{EPOCHS}-{SEED}"  # names the cached weights; change it with the recipe
SHADES = " .:-=+*#%@"


def images_and_labels() -> tuple[Any, Any]:
    """Return [1797, 1, 8, 8] float32 images in 0..1 and their labels."""
    import torch
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    return images, torch.tensor(data.target)


def network() -> torch.nn.Module:
    """Return the untrained network: image [1, 1, 8, 8] to ten logits."""
    from torch import nn

    def block(channels_in: int, channels_out: int) -> list[nn.Module]:
        convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]

    return nn.Sequential(
        *block(1, 16),
        *block(16, 32),
        nn.MaxPool2d(2),
        *block(32, 32),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(32 * 4 * 4, 10),
    )


def train() -> torch.nn.Module:
    """Train on all but the held-out images; the same seed gives the same weights."""
    import torch

    images, labels = images_and_labels()
    images, labels = images[:-HELD_OUT], labels[:-HELD_OUT]
    torch.manual_seed(SEED)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(images)), BATCH):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(shifted(images[batch])), labels[batch])
            torch.autograd.backward(loss)
            optimizer.step()
        schedule.step()
    return model.eval()


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Return the images moved by up to a pixel, as other hands would place them."""
    import torch

    across, down = torch.randint(0, 3, (2,)).tolist()
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    return padded[:, :, down : down + 8, across : across + 8]


def digit_classifier() -> torch.nn.Module:
    """Return the trained network, from the cache when it was trained before."""
    import torch

    cache = cache_directory() / f"{RECIPE}.pt"
    model = network()
    if not cache.exists():
        _store(train().state_dict(), cache)
    model.load_state_dict(torch.load(cache, weights_only=True))
    return model.eval()


def cache_directory() -> Path:
    """Return where trained weights are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "amazonei"


def _store(weights: dict[str, Any], path: Path) -> None:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
        torch.save(weights, stream)
    Path(stream.name).replace(path)


def held_out_accuracy(model: torch.nn.Module) -> float:
    """Return the share of the held-out images that the model gets right."""
    import torch

    images, labels = images_and_labels()
    with torch.no_grad():
        guesses = model(images[-HELD_OUT:]).argmax(dim=1)
    return float((guesses == labels[-HELD_OUT:]).float().mean())


def request(digit: int) -> tuple[dict[str, object], str]:
    """Return the request for a held-out image of the digit, and the image drawn in characters."""
    images, labels = images_and_labels()
    index = len(labels) - HELD_OUT + int((labels[-HELD_OUT:] == digit).nonzero()[0])
    pixels = images[index, 0].tolist()
    drawing = "\n".join("".join(SHADES[min(int(p * 10), 9)] * 2 for p in row) for row in pixels)
    return {"inputs": {"image": [[pixels]]}}, drawing


def served_answer(document: dict[str, Any]) -> dict[str, Any]:
    """Return the server's answer from what `amazonei invoke` printed, which may wrap it in a response."""
    response: dict[str, Any] = document.get("response", document)
    return response


def answer(document: dict[str, Any]) -> str:
    """Return what the response says, for a person."""
    logits: list[float] = document["outputs"]["output"][0]
    highest = max(logits)
    weights = [math.exp(logit - highest) for logit in logits]
    digit = weights.index(max(weights))
    return f"this is a {digit} ({100 * weights[digit] / sum(weights):.1f} %)"


def main() -> int:
    """Print a request, an answer, or the accuracy."""
    parser = argparse.ArgumentParser(description="Requests to, and answers of, the digit classifier.")
    commands = parser.add_subparsers(dest="command", required=True)
    asked = commands.add_parser("request", help="print the request for a held-out image of a digit")
    asked.add_argument("digit", type=int, choices=range(10))
    commands.add_parser("answer", help="read a response on standard input and say the digit")
    commands.add_parser("accuracy", help="say how often the model is right on images it never saw")
    options = parser.parse_args()
    if options.command == "request":
        document, drawing = request(options.digit)
        print(drawing, file=sys.stderr)
        print(json.dumps(document))
    elif options.command == "accuracy":
        print(f"{100 * held_out_accuracy(digit_classifier()):.1f} % of {HELD_OUT} held-out images")
    else:
        try:
            print(answer(served_answer(json.load(sys.stdin))))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            parser.error(f"not a response of the digit classifier: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
