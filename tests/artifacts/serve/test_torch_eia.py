from __future__ import annotations

from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from artifacts.serve.torch_eia import attach, installed_torcheia

if TYPE_CHECKING:
    from collections.abc import Iterator


class FrameworkOf2019:
    """torch as EI's builds had it: optimized_execution records how it was entered."""

    def __init__(self, version: str) -> None:
        self.__version__ = version
        self.calls: list[tuple[Any, ...]] = []
        self.jit = SimpleNamespace(optimized_execution=self._optimized_execution)
        self._C = SimpleNamespace(_jit_set_profiling_executor=lambda on: self.calls.append(("profiling", on)))

    @contextmanager
    def _optimized_execution(self, *arguments: Any) -> Iterator[None]:
        self.calls.append(arguments)
        yield


class Program:
    def __init__(self) -> None:
        self.training = True

    def eval(self) -> Program:
        self.training = False
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1

    __call__ = forward


def test_pytorch_1_3_1_names_the_device_in_the_context() -> None:
    framework = FrameworkOf2019("1.3.1")
    run = attach(Program(), framework, None)
    assert torch.equal(run(torch.zeros(2)), torch.ones(2))
    assert framework.calls == [(True, {"target_device": "eia:0"})]


def test_pytorch_1_5_1_attaches_the_module() -> None:
    attached: list[tuple[bool, int]] = []

    def attach_eia(program: Program, device: int) -> Program:
        attached.append((program.training, device))
        return program

    torcheia = ModuleType("torcheia")
    torcheia.jit = SimpleNamespace(attach_eia=attach_eia)  # type: ignore[attr-defined]
    framework = FrameworkOf2019("1.5.1")
    run = attach(Program(), framework, torcheia)
    assert torch.equal(run(torch.zeros(2)), torch.ones(2))
    assert attached == [(False, 0)]
    assert framework.calls == [("profiling", False), (True,)]


def test_without_eis_framework_the_program_runs_plainly() -> None:
    program = Program()
    assert attach(program, torch, installed_torcheia()) is program
