"""Models whose inputs vary in size: one subject for each program, and proof that filling up is harmless."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from artifacts.axes import Axis, Kind
from artifacts.compile.parity import Case, check
from artifacts.errors import CompileError
from artifacts.serve.fitting import bucket_key, buckets, stacked
from artifacts.serve.sampling import sample, torch_dtype
from artifacts.specs import Sizes, axes_of, batch_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from artifacts.compile.subject import Subject
    from artifacts.serve.sampling import Tensors
    from artifacts.specs import TensorSpec

    Run = Callable[[Tensors], list[torch.Tensor]]

_SEEDS = (31, 32)  # of no other request


def fixed(subject: Subject, bucket: Sizes) -> Subject:
    """Return the subject as one program sees it: all sizes are those of the bucket."""
    return dataclasses.replace(
        subject,
        inputs=tuple(spec.at(bucket) for spec in subject.inputs),
        outputs=tuple(spec.at(bucket) for spec in subject.outputs),
    )


def followed(subject: Subject) -> Subject:
    """Return the subject with the output dimensions that are as long as an input's, found by running it.

    Raises CompileError where a dimension varies with an input's and is not as long: a filled up answer
    could not be cut back.
    """
    axes = axes_of(subject.inputs)
    largest = {axis: axis.high for axis in axes}
    outputs = subject.outputs
    for axis in axes:
        answer = subject.run(request_of(subject.inputs, largest | {axis: axis.low}, _SEEDS[0]))
        if len(answer) != len(outputs):
            raise CompileError(f"The number of outputs changes with the {axis.kind.value}.")
        outputs = tuple(_follow(spec, found, axis) for spec, found in zip(outputs, answer, strict=True))
    return dataclasses.replace(subject, outputs=outputs)


def _follow(spec: TensorSpec, smaller: torch.Tensor, axis: Axis) -> TensorSpec:
    if len(smaller.shape) != len(spec.shape):
        raise CompileError(f"The dimensions of output {spec.name} change with the {axis.kind.value}.")
    changed = []
    for dimension, (large, small) in enumerate(zip(spec.shape, smaller.shape, strict=True)):
        if large == small:
            continue
        if (large, small) != (axis.high, axis.low):
            raise CompileError(
                f"Dimension {dimension} of output {spec.name} is {large} at {axis.kind.value} {axis.high} "
                f"and {small} at {axis.low}: it cannot be cut back when a request is filled up.",
                "Give the dimension one size.",
            )
        changed.append((dimension, axis))
    return dataclasses.replace(spec, axes=tuple(sorted([*spec.axes, *changed], key=lambda pair: pair[0])))


def request_of(specs: tuple[TensorSpec, ...], sizes: Sizes, seed: int) -> Tensors:
    """Return a random request; whatever may be a mask lets at least the first place of each row through."""
    request = sample(tuple(spec.at(sizes) for spec in specs), seed)
    for spec in specs:
        for dimension, axis in spec.axes:
            if axis.kind is Kind.LENGTH and _may_mask(spec):
                request[spec.name].narrow(dimension, 0, 1).fill_(1)
    return request


def _may_mask(spec: TensorSpec) -> bool:
    return not torch_dtype(spec.dtype).is_floating_point and (spec.low or 0, spec.high or 2) == (0, 2)


def untraced(specs: tuple[TensorSpec, ...], bucket: Sizes) -> Iterator[dict[Axis, int]]:
    """Yield the smallest sizes that a bucket serves, and sizes in the middle."""
    axes = axes_of(specs)
    least = {axis: _least(axis, bucket[axis]) for axis in axes}
    middle = {axis: (least[axis] + bucket[axis]) // 2 for axis in axes}
    yield least
    if middle != least:
        yield middle


def _least(axis: Axis, bucket: int) -> int:
    before = [size for size in axis.buckets if size < bucket]
    return max(before[-1] + 1 if before else axis.low, axis.low)


def in_between(subject: Subject) -> tuple[Case, ...]:
    """Return requests that have to be filled up, with the eager answers to them as they are."""
    return tuple(
        Case(inputs=request, expected=subject.run(request))
        for bucket in buckets(subject.inputs)
        for sizes, seed in zip(untraced(subject.inputs, bucket), _SEEDS, strict=False)
        if sizes != bucket
        for request in [request_of(subject.inputs, sizes, seed)]
    )


def refuse_filling(subject: Subject, cases: tuple[Case, ...], atol: float) -> None:
    """Raise CompileError when the eager model answers otherwise once a request is filled up or stacked."""
    for case in cases:
        parity, reason = check(answering(subject, lambda _: subject.run), (case,), atol)
        if not parity.passed:
            shapes = ", ".join(f"{name}{list(tensor.shape)}" for name, tensor in case.inputs.items())
            raise CompileError(
                f"The model's answer to {shapes} changes when it is filled up to the next bucket: {reason}.",
                _filling_hint(subject),
            )
    batch = batch_axis(subject.inputs)
    if batch is not None and 2 * batch.low <= batch.high:
        _refuse_stacking(subject, batch, atol)


def _filling_hint(subject: Subject) -> str:
    masks = [spec.name for spec in subject.inputs if _may_mask(spec)]
    if masks:
        return (
            f"It does not leave out what {', '.join(masks)} masks with 0. Name the padding value of other "
            "inputs with --pad NAME=VALUE, or give every dimension one size."
        )
    return (
        "Give it a mask as an input, for example attention_mask=int64[1,16..128]:0..2, which is filled up "
        "with 0; name another padding value with --pad NAME=VALUE; or give every dimension one size."
    )


def _refuse_stacking(subject: Subject, batch: Axis, atol: float) -> None:
    """Raise CompileError when rows answer otherwise beside other rows: then they are no batch."""
    sizes = {axis: axis.low if axis == batch else axis.high for axis in axes_of(subject.inputs)}
    requests = [request_of(subject.inputs, sizes, seed) for seed in _SEEDS]
    (stack,) = stacked(subject.inputs, requests)
    answers = stack.answers(subject.outputs, subject.run(stack.inputs))
    for request, answer in zip(requests, answers, strict=True):
        case = Case(inputs=request, expected=subject.run(request))
        parity, reason = check(lambda _, answer=answer: list(answer.values()), (case,), atol)  # type: ignore[misc]
        if not parity.passed:
            raise CompileError(
                f"The first dimension is no batch: a row's answer changes with its neighbours, {reason}.",
                "Put the batch first, or give the first dimension one size.",
            )


def answering(subject: Subject, program: Callable[[str], Run]) -> Run:
    """Return what answers one request as a host does: filled up, run by its bucket's program, cut back."""

    def answer(inputs: Tensors) -> list[torch.Tensor]:
        (stack,) = stacked(subject.inputs, [inputs])
        run = program(bucket_key(subject.inputs, stack.bucket))
        (outputs,) = stack.answers(subject.outputs, run(stack.inputs))
        return list(outputs.values())

    return answer
