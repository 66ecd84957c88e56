"""Make machine code with AOTInductor: export, compile for a stated processor, strip what is this machine's.

https://docs.pytorch.org/docs/2.13/torch.compiler_aot_inductor.html
"""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from artifacts.compile.foreign import user_code
from artifacts.compile.torchscript import rewrite
from artifacts.errors import CompileError
from artifacts.serve.aotinductor import LAYOUT, WEIGHTS
from artifacts.serve.processor import processor_features
from artifacts.serve.weights import Weight, write_layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The psABI's levels (https://gitlab.com/x86-psABIs/x86-64-ABI), by Linux's names of what they add. Instead of
# -march=native, which would tie the program to this very model of processor.
_LEVEL_3 = ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")
_LEVEL_4 = (*_LEVEL_3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
# What Inductor's own vector code adds to the level where this processor has it.
_EXTRA = ("avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8", "amx_fp16")
_ARM = ("asimd",)
_SOURCE = ".cpp"
# Inductor writes a statement per weight and field, such as the shape of number 3 as {64, 3, 3, 3}.
_STATEMENT = re.compile(r"constants_info_\[(\d+)\]\.(\w+) = (.*);")


def required_features(features: frozenset[str]) -> tuple[str, ...]:
    """Return the instruction sets that code made on such a processor may use."""
    if features >= set(_LEVEL_4):
        return (*_LEVEL_4, *(name for name in _EXTRA if name in features))
    if features >= set(_LEVEL_3):
        return _LEVEL_3
    return _arm(features)


def _arm(features: frozenset[str]) -> tuple[str, ...]:
    """Inductor compiles for the Arm processor it is on: everything that one has may be used."""
    return tuple(sorted(features)) if features >= set(_ARM) else ()


def options(requires: tuple[str, ...], places: Mapping[Path, str] = MappingProxyType({})) -> dict[str, Any]:
    """Return Inductor's options: weights folded, and the same bytes for the same model.

    `places` are directories of this machine and what the program shall say instead.
    """
    chosen: dict[str, Any] = {
        "freezing": True,
        "compile_threads": 1,  # other lanes and models use the other cores
        "size_asserts": False,  # their messages hold addresses of this process; the server checks shapes
        "aot_inductor.enable_line_tables": False,
        "aot_inductor.enable_frame_pointer": False,
        "aot_inductor.model_name_for_generated_files": "model",
        "aot_inductor.precompile_headers": False,  # pays from the second program of a directory on
        # g++'s `-ffp-contract`, as Inductor sets it; what is put behind it is the only way to other flags.
        "cpp.enable_floating_point_contract_flag": " ".join(
            ["off", *(f"-ffile-prefix-map={place}={name}" for place, name in places.items())]
        ),
        # Beside the machine code, not in it: the host maps them.
        "aot_inductor.package_constants_in_so": False,
        "aot_inductor.package_constants_on_disk_format": "binary_blob",
    }
    if "avx2" in requires:
        chosen["cpp.march"] = "x86-64-v4" if "avx512f" in requires else "x86-64-v3"
    return chosen


def compile_package(model: torch.nn.Module, example: tuple[torch.Tensor, ...], path: Path) -> tuple[str, ...]:
    """Write the `.pt2` package and return the instruction sets it needs; raises CompileError."""
    if shutil.which("g++") is None:
        raise CompileError("AOTInductor needs g++, which is not installed here.", "Install a C++ compiler.")
    requires = required_features(processor_features())
    raw = path.with_suffix(".raw.pt2")
    with user_code("AOTInductor"), torch.no_grad(), _own_directory(path.parent) as places:
        from torch._inductor import aoti_compile_and_package

        program = torch.export.export(model, example, strict=False)
        aoti_compile_and_package(program, package_path=str(raw), inductor_configs=options(requires, places))
    layout = {LAYOUT: write_layout(weights_layout(raw))}
    rewrite(raw, path, lambda name: name.endswith(_SOURCE), layout)
    raw.unlink()
    return requires


@contextmanager
def _own_directory(parent: Path) -> Iterator[dict[Path, str]]:
    """Let Inductor write to a new directory; yields the directories that its program names, with other names.

    Inductor names the sources it writes after the graph alone, and takes one that is there already: another
    shape, option or release would find the source of the last.
    """
    from torch._inductor.runtime.cache_dir_utils import cache_dir
    from torch._inductor.utils import fresh_cache

    with fresh_cache(dir=str(parent)):
        yield {Path(cache_dir()): "inductor", Path(torch.__file__).parent: "torch"}


def weights_layout(package: Path) -> tuple[Weight, ...]:
    """Return how the weights lie in a package, by the source that Inductor wrote for it.

    Raises CompileError when the source does not account for every byte of them.
    """
    reader = torch._C.PyTorchFileReader(str(package))  # noqa: SLF001 - torch offers no public reader
    source = reader.get_record(WEIGHTS.replace("_weights.blob", _SOURCE)).decode()
    fields: dict[int, dict[str, str]] = {}
    for index, field, value in _STATEMENT.findall(source):
        fields.setdefault(int(index), {})[field] = value
    weights, start = [], 0
    for _, each in sorted(fields.items()):
        weights.append(_weight(each, start))
        start += weights[-1].size
    if start != reader.get_record_size(WEIGHTS):
        raise CompileError(f"Inductor's source tells of {start} bytes of weights; the package has others.")
    return tuple(weights)


def _weight(fields: dict[str, str], start: int) -> Weight:
    return Weight(
        name=fields["name"].strip('"'),
        dtype=_named("dtype", fields["dtype"]),
        layout=_named("layout", fields["layout"]),
        start=start,
        size=int(fields["data_size"]),
        offset=int(fields["offset"]),
        shape=_integers(fields["shape"]),
        stride=_integers(fields["stride"]),
        opaque=_integers(fields.get("opaque_metadata", "{}")),
    )


def _named(kind: str, value: str) -> str:
    """Return the `float32` of `cached_torch_dtype_float32`."""
    found = re.search(rf"cached_torch_{kind}_(\w+)", value)
    if found is None:
        raise CompileError(f"Inductor's source has a {kind} that is not known here: {value}.")
    return found[1]


def _integers(value: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"-?\d+", value)))
