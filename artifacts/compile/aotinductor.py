"""Make machine code with AOTInductor: export, compile for a stated processor, strip what is this machine's.

https://docs.pytorch.org/docs/2.13/torch.compiler_aot_inductor.html
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import torch

from artifacts.compile.foreign import user_code
from artifacts.compile.torchscript import rewrite
from artifacts.errors import CompileError
from artifacts.serve.processor import processor_features

if TYPE_CHECKING:
    from pathlib import Path

# The psABI's levels (https://gitlab.com/x86-psABIs/x86-64-ABI), by Linux's names of what they add. Instead of
# -march=native, which would tie the program to this very model of processor.
_LEVEL_3 = ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")
_LEVEL_4 = (*_LEVEL_3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
# What Inductor's own vector code adds to the level where this processor has it.
_EXTRA = ("avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8", "amx_fp16")
_ARM = ("asimd",)


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


def options(requires: tuple[str, ...]) -> dict[str, Any]:
    """Return Inductor's options: weights folded, and the same bytes for the same model."""
    chosen: dict[str, Any] = {
        "freezing": True,
        "compile_threads": 1,  # other lanes and models use the other cores
        "size_asserts": False,  # their messages hold addresses of this process; the server checks shapes
        "aot_inductor.enable_line_tables": False,
        "aot_inductor.enable_frame_pointer": False,
        "aot_inductor.model_name_for_generated_files": "model",
    }
    if "avx2" in requires:
        chosen["cpp.march"] = "x86-64-v4" if "avx512f" in requires else "x86-64-v3"
    return chosen


def compile_package(model: torch.nn.Module, example: tuple[torch.Tensor, ...], path: Path) -> tuple[str, ...]:
    """Write the `.pt2` package and return the instruction sets it needs; raises CompileError."""
    if shutil.which("g++") is None:
        raise CompileError("AOTInductor needs g++, which is not installed here.", "Install a C++ compiler.")
    requires = required_features(processor_features())
    with user_code("AOTInductor"), torch.no_grad():
        from torch._inductor import aoti_compile_and_package

        program = torch.export.export(model, example, strict=False)
        raw = path.with_suffix(".raw.pt2")
        aoti_compile_and_package(program, package_path=str(raw), inductor_configs=options(requires))
    rewrite(raw, path, _is_source)
    return requires


def _is_source(name: str) -> bool:
    return name.endswith(".cpp")
