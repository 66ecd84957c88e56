"""An environment with a double of torch_neuronx, as a Neuron image has one with AWS's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.artifacts.compile import neuron_doubles

if TYPE_CHECKING:
    from pathlib import Path

_MODULE = """\
# It has the documented signatures, and stands for AWS's SDK where that cannot be.
from neuron_doubles import DocumentedTorchNeuronX
_sdk = DocumentedTorchNeuronX()
trace, PartitionerConfig = _sdk.trace, _sdk.PartitionerConfig
__version__ = f"{_sdk.__version__}+double"
"""


def plant_sdk(environment: Path) -> None:
    """Make an environment that has this one's packages, and the double."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (site,) = environment.glob("lib/python3*/site-packages")
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "image.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    (site / "torch_neuronx.py").write_text(_MODULE)
    shutil.copy(neuron_doubles.__file__, site)
