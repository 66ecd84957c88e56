"""Dummy inputs for Hugging Face models, from what their configurations say."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from artifacts.specs import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

LENGTH = 128  # tokens; a shorter request is padded to it
_DECODED = 32
_AUDIO_SAMPLES = 16_000  # one second
_MEL_FRAMES = 3_000  # Whisper takes thirty seconds, padded


def inferred(model: torch.nn.Module) -> tuple[TensorSpec, ...]:
    """Return specs of the inputs that a Hugging Face model needs; none where its kind is not known."""
    config = getattr(model, "config", None)
    main = str(getattr(model, "main_input_name", ""))
    if config is None or main not in _MAIN:
        return ()
    return _MAIN[main](config, frozenset(inspect.signature(model.forward).parameters))


def padding(model: torch.nn.Module) -> dict[str, float]:
    """Return what the tokens of a Hugging Face model are filled up with; nothing where it does not say."""
    token = getattr(getattr(model, "config", None), "pad_token_id", None)
    return dict.fromkeys(("input_ids", "decoder_input_ids"), float(token)) if isinstance(token, int) else {}


def _text(config: Any, parameters: frozenset[str]) -> tuple[TensorSpec, ...]:
    length = _length(config)
    vocabulary = int(getattr(config, "vocab_size", 2))
    specs = [_tokens("input_ids", length, vocabulary)]
    if "attention_mask" in parameters:
        specs.append(_tokens("attention_mask", length, 2))
    kinds = int(getattr(config, "type_vocab_size", 0) or 0)
    if "token_type_ids" in parameters and kinds > 1:
        specs.append(_tokens("token_type_ids", length, kinds))
    if "decoder_input_ids" in parameters and getattr(config, "is_encoder_decoder", False):
        decoded = int(getattr(config, "decoder_vocab_size", None) or vocabulary)
        specs.append(_tokens("decoder_input_ids", min(_DECODED, length), decoded))
    return tuple(specs)


def _tokens(name: str, length: int, below: int) -> TensorSpec:
    return TensorSpec(name=name, dtype="int64", shape=(1, length), low=0.0, high=float(below))


def _length(config: Any) -> int:
    """Return 128 tokens, or as many as there are positions; RoBERTa keeps two of its positions free."""
    found = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    positions = int(found or LENGTH)
    if getattr(config, "model_type", "") in {"roberta", "xlm-roberta", "camembert"}:
        positions -= 2
    return min(LENGTH, positions)


def _image(config: Any, _: frozenset[str]) -> tuple[TensorSpec, ...]:
    size = getattr(config, "image_size", 224)
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    channels = int(getattr(config, "num_channels", 3))
    return (TensorSpec(name="pixel_values", dtype="float32", shape=(1, channels, height, width)),)


def _waveform(_config: Any, _: frozenset[str]) -> tuple[TensorSpec, ...]:
    return (TensorSpec(name="input_values", dtype="float32", shape=(1, _AUDIO_SAMPLES)),)


def _spectrum(config: Any, parameters: frozenset[str]) -> tuple[TensorSpec, ...]:
    shape = (1, int(getattr(config, "num_mel_bins", 80)), _MEL_FRAMES)
    specs = [TensorSpec(name="input_features", dtype="float32", shape=shape)]
    if "decoder_input_ids" in parameters:
        specs.append(_tokens("decoder_input_ids", _DECODED, int(config.vocab_size)))
    return tuple(specs)


_MAIN: dict[str, Callable[[Any, frozenset[str]], tuple[TensorSpec, ...]]] = {
    "input_ids": _text,
    "pixel_values": _image,
    "input_values": _waveform,
    "input_features": _spectrum,
}
