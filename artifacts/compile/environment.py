"""The environment the compiler's process runs in, whoever started it."""

from __future__ import annotations

import os
import sys

VARIABLES = {
    # torch.jit.script writes a module's constants in the order of a set of strings, so the same model has
    # the same bytes only when strings hash alike.
    "PYTHONHASHSEED": "0",
    # Hugging Face libraries: nothing from the network, and none of their progress between our lines.
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    # torch's own advice in C++, which is for who wrote the model, between our lines.
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


def settle_environment() -> None:
    """Start this process again with the variables set; the hash seed is read at start-up only."""
    if any(os.environ.get(name) != value for name, value in VARIABLES.items()):
        os.execve(sys.executable, sys.orig_argv, os.environ | VARIABLES)  # noqa: S606 - no shell
