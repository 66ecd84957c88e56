"""The optional compilers: imported when asked for, and missed with the line that installs them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from artifacts.errors import ToolchainMissing
from artifacts.targets import Compiler

if TYPE_CHECKING:
    from types import ModuleType

NEURON_INDEX = "https://pip.repos.neuron.amazonaws.com"
# Versions: the last that compile for these families (Neuron SDK 2.31 and, for Inf1, 2.26).
_INSTALL = {
    Compiler.TORCH_NEURONX: (
        "torch_neuronx",
        "neuronx-cc==2.27.5334.0 torch-neuronx==2.9.0.2.15.32035",
        "Python 3.12 on Ubuntu 24.04",
    ),
    Compiler.TORCH_NEURON: (
        "torch_neuron",
        "torch-neuron==1.13.1.2.11.13.0 neuron-cc==1.24.0.0",
        "Python 3.9 or 3.10",
    ),
}


def import_neuron(compiler: Compiler) -> ModuleType:
    """Return torch_neuron or torch_neuronx; raises ToolchainMissing when it is not installed."""
    module, packages, python = _INSTALL[compiler]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ToolchainMissing(
            f"{module} is not installed here, and only it compiles for this target.",
            f"With {python}: pip install --extra-index-url={NEURON_INDEX} {packages} "
            "(or --on host: a host of the deployment has it; or --emulate: a CPU stand-in).",
        ) from error
