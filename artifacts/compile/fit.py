"""Which kinds of model fit which Neuron family, as AWS's table has it.

Source: aws-neuron-sdk general/arch/model-architecture-fit.rst of 2023-05-05 (the page was removed since;
https://github.com/aws-neuron/aws-neuron-sdk, commit f91fa1ae).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.errors import CompileError
from artifacts.targets import Compiler

if TYPE_CHECKING:
    import torch

ENCODER_DECODER, DECODER = "an encoder with a decoder", "a generative decoder"
_INSTEAD = {
    ENCODER_DECODER: "Compile its encoder (model.get_encoder()) and a wrapper around its decoder as two "
    "models, as AWS's MarianMT tutorial does for Inf1.",
    DECODER: "Compile it for inf2, trn1 or a CPU target.",
}
# What the table calls "NOT a good fit" (Inf1) or "roadmap" (Inf2, Trn1).
_MISFITS = {
    Compiler.TORCH_NEURON: {
        ENCODER_DECODER: "its decoder grows with every token, and NeuronCore-v1 has fixed shapes",
        DECODER: "it grows with every token, and NeuronCore-v1 has fixed shapes",
    },
    Compiler.TORCH_NEURONX: {
        ENCODER_DECODER: "torch_neuronx takes encoders and decoders, not both in one program",
    },
}


def architecture(model: torch.nn.Module) -> str:
    """Return what kind of language model this is; empty where it does not say that it generates."""
    config: Any = getattr(model, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        return ENCODER_DECODER if hasattr(model, "decoder") or _has_decoder(model) else ""
    return DECODER if type(model).__name__.endswith("ForCausalLM") or _generates(model) else ""


def _has_decoder(model: torch.nn.Module) -> bool:
    return any(name.rpartition(".")[2] == "decoder" for name, _ in model.named_modules())


def _generates(model: torch.nn.Module) -> bool:
    can: Any = getattr(model, "can_generate", None)
    return bool(can()) if callable(can) else False


def refuse_misfit(model: torch.nn.Module, compiler: Compiler, target: str) -> None:
    """Raise CompileError for a model that the target's family does not run."""
    _refuse(architecture(model), type(model).__name__, compiler, target)


def refuse_misfit_directory(source: str, compiler: Compiler, target: str) -> None:
    """Raise CompileError where the config.json of a Hugging Face directory tells as much.

    It costs nothing, so it is asked before a compiler is missed, or a host is paid for. What it does not
    tell, or another kind of source, is left to `refuse_misfit`.
    """
    try:
        config = json.loads(Path(source, "config.json").read_bytes())
        (name,) = config["architectures"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    _refuse(_told(str(name), both=config.get("is_encoder_decoder") is True), str(name), compiler, target)


def _told(name: str, *, both: bool) -> str:
    if name.endswith(("ForConditionalGeneration", "MTModel", "EncoderDecoderModel")) and both:
        return ENCODER_DECODER
    return DECODER if name.endswith(("ForCausalLM", "LMHeadModel")) else ""


def _refuse(kind: str, name: str, compiler: Compiler, target: str) -> None:
    reason = _MISFITS.get(compiler, {}).get(kind)
    if reason:
        raise CompileError(f"{name} does not fit {target}: it is {kind}, and {reason}.", _INSTEAD[kind])
