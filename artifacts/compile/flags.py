"""What a person may tell the Neuron compilers, by AWS's own names, and for which family each is.

Imports no torch: the command line reads its options from here.

torch_neuron and neuron-cc: https://awsdocs-neuron.readthedocs-hosted.com/en/latest/archive/torch-neuron/api-compilation-python-api.html
torch_neuronx: https://awsdocs-neuron.readthedocs-hosted.com/en/latest/frameworks/torch/torch-neuronx/api-reference-guide/inference/api-torch-neuronx-trace.html
neuronx-cc: https://awsdocs-neuron.readthedocs-hosted.com/en/latest/compiler/neuronx-cc/api-reference-guide/index.html
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest
from artifacts.targets import Compiler, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUTHS = ("true", "false")
PIPELINE_CORES = "neuroncore-pipeline-cores"
INLINE_WEIGHTS = "inline-weights-to-neff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One thing that may be said to a compiler."""

    name: str
    compiler: Compiler
    help: str
    values: tuple[str, ...] = ()  # empty: a number
    least: float = 0
    most: float = 0

    def check(self, value: str) -> None:
        """Raise BadRequest for a value that the compiler does not document."""
        if self.values:
            fits = value in self.values
        elif self.most == 1.0:
            fits = _is_number(value) and self.least < float(value) <= self.most
        else:
            fits = value.removeprefix("-").isdecimal() and self.least <= int(value) <= self.most
        if not fits:
            raise BadRequest(f"--{self.name} cannot be {value!r}.", f"It is {self.takes}.")

    @property
    def takes(self) -> str:
        """Return what values there are, for a person."""
        if self.values:
            return ", ".join(self.values[:-1]) + f" or {self.values[-1]}"
        if self.most == 1.0:
            return "a number above 0 and up to 1"
        return f"a whole number from {self.least:g} to {self.most:g}"


_INF1, _LATER = Compiler.TORCH_NEURON, Compiler.TORCH_NEURONX
FLAGS = {
    flag.name: flag
    for flag in (
        Flag(
            name="fp32-cast",
            compiler=_INF1,
            values=("matmult", "matmult-fp16", "matmult-bf16", "all-fp16", "all"),
            help="What neuron-cc may compute in fewer bits.  [default: matmult]",
        ),
        Flag(
            name="dynamic-batch-size",
            compiler=_INF1,
            values=_TRUTHS,
            help="Let the program split larger batches.  [default: false]",
        ),
        Flag(
            name="separate-weights",
            compiler=_INF1,
            values=_TRUTHS,
            help="Keep weights outside of the program.  [default: above 1.9 GB]",
        ),
        Flag(
            name=PIPELINE_CORES,
            compiler=_INF1,
            least=1,
            most=64,
            help="Spread the layers over so many NeuronCores.  [default: 1]",
        ),
        Flag(
            name="auto-cast",
            compiler=_LATER,
            values=("none", "matmult", "all"),
            help="What neuronx-cc may compute in fewer bits.  [default: none]",
        ),
        Flag(
            name="auto-cast-type",
            compiler=_LATER,
            values=("bf16", "fp16", "tf32", "fp8_e4m3"),
            help="The fewer bits.  [default: bf16]",
        ),
        Flag(
            name="optlevel",
            compiler=_LATER,
            values=("1", "2", "3"),
            help="How long neuronx-cc optimises.  [default: 2]",
        ),
        Flag(
            name="model-type",
            compiler=_LATER,
            values=("generic", "transformer", "unet-inference"),
            help="What neuronx-cc optimises for.  [default: generic]",
        ),
        Flag(
            name=INLINE_WEIGHTS,
            compiler=_LATER,
            values=_TRUTHS,
            help="Build weights into the compiled program.  [default: true]",
        ),
        Flag(
            name="cpu-backend",
            compiler=_LATER,
            values=_TRUTHS,
            help="Compile without using a device.  [default: true]",
        ),
        Flag(
            name="model-support-percentage-threshold",
            compiler=_LATER,
            most=1.0,
            help="Least share of operators on the device when partitioned.  [default: 0.9]",
        ),
        Flag(
            name="min-subgraph-size",
            compiler=_LATER,
            least=-1,
            most=10**6,
            help="Operators that a part for the device has at least.  [default: -1, any]",
        ),
        Flag(
            name="max-subgraph-count",
            compiler=_LATER,
            least=-1,
            most=10**6,
            help="Parts for the device at most.  [default: -1, any]",
        ),
    )
}


def check_flags(flags: Mapping[str, str], target: Target) -> None:
    """Raise BadRequest for a flag that does not exist, is of another family, or cannot have its value."""
    for name, value in flags.items():
        flag = FLAGS.get(name)
        if flag is None:
            nearest = difflib.get_close_matches(name, FLAGS, n=1)
            raise BadRequest(
                f"There is no compiler flag {name!r}.",
                f"Did you mean {nearest[0]!r}?" if nearest else f"There are {', '.join(FLAGS)}.",
            )
        if flag.compiler is not target.compiler:
            own = [each.name for each in FLAGS.values() if each.compiler is target.compiler]
            raise BadRequest(
                f"--{name} is for {flag.compiler.value}, and {target.name} is compiled for with "
                f"{target.compiler.value}.",
                f"{target.name} takes {', '.join(own)}." if own else f"{target.name} takes no such flags.",
            )
        flag.check(value)
    if "auto-cast-type" in flags and flags.get("auto-cast", "none") == "none":
        raise BadRequest("--auto-cast-type says nothing without --auto-cast.", "Add --auto-cast matmult.")


def parse_flags(texts: tuple[str, ...]) -> dict[str, str]:
    """Return what `written` wrote, by name."""
    return dict(text.split("=", 1) for text in texts if "=" in text)


def written(flags: Mapping[str, str]) -> tuple[str, ...]:
    """Return the flags as texts name=value, sorted, as requests and manifests hold them."""
    return tuple(f"{name}={value}" for name, value in sorted(flags.items()))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
