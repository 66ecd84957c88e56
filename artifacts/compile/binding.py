"""Bind SPECs to the parameters of forward, by name or by position, or to the tensors inside of one."""

from __future__ import annotations

import inspect
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from artifacts.compile.calling import Call, Node, Tree
from artifacts.compile.exported import arguments_of
from artifacts.compile.foreign import shown
from artifacts.compile.holders import (
    PATH_HINT,
    chosen,
    example,
    holders,
    holds_tensors,
    resolved,
    shown_type,
    takes_tensor,
)
from artifacts.errors import BadRequest, CompileError
from artifacts.specs import Parts, TensorSpec, nested

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_UNDECLARED = inspect.Parameter.empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of forward."""

    name: str
    required: bool = True
    annotation: object = _UNDECLARED  # as it is written
    names: Mapping[str, Any] = field(default_factory=dict)  # of the module that it is written in

    @property
    def declared(self) -> object:
        """Return what the annotation stands for."""
        return resolved(self.annotation, self.names)

    @property
    def holds_tensors(self) -> bool:
        """Return whether it is declared to hold tensors, and not to be one."""
        declared = self.declared
        return holds_tensors(declared) and not takes_tensor(declared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The inputs in calling order, and how the model is called with them."""

    inputs: tuple[TensorSpec, ...]
    call: Call
    doubt: str = ""  # what may be wrong with the SPECs where the model cannot answer


def bind(model: torch.nn.Module, specs: tuple[TensorSpec, ...]) -> Bound:
    """Return how to call the model with tensors of these specs.

    SPECs of which none is named after a parameter go by position, or, where forward takes one dictionary or
    record, are its parts. Raises BadRequest, and CompileError for an argument that cannot be a tensor.
    """
    given = nested(specs)
    parameters = _parameters(model)
    if parameters is None:
        return _bound(((Parameter(name=name), parts) for name, parts in given.items()), direct=True)
    names = [parameter.name for parameter in parameters]
    if not set(given) & set(names):
        only = _only_record(parameters, specs)
        if only is None:
            return _by_position(model, parameters, given)
        given = {only.name: given}
    _refuse_unfit(model, parameters, given)
    pairs = [(parameter, given[parameter.name]) for parameter in parameters if parameter.name in given]
    keywords = tuple(parameter.name for parameter, _ in pairs)
    return _bound(pairs, direct=list(keywords) == names[: len(keywords)], keywords=keywords)


def _by_position(model: torch.nn.Module, parameters: tuple[Parameter, ...], given: Parts) -> Bound:
    if len(given) > len(parameters):
        names = ", ".join(parameter.name for parameter in parameters) or "nothing"
        raise BadRequest(f"The model's forward takes {names}; {len(given)} inputs are given.", PATH_HINT)
    pairs = list(zip(parameters, given.values(), strict=False))
    _refuse_settings(model, parameters, [parameter.name for parameter, _ in pairs])
    return _bound(pairs, direct=True)


def _only_record(parameters: tuple[Parameter, ...], specs: tuple[TensorSpec, ...]) -> Parameter | None:
    """Return the one argument whose parts the SPECs are; None where they are arguments, or have no names."""
    required = [parameter for parameter in parameters if parameter.required] or list(parameters[:1])
    if len(required) != 1 or all(spec.name == f"input{index}" for index, spec in enumerate(specs)):
        return None
    declared = required[0].declared
    by_name = not takes_tensor(declared) and any(not each.numbered for each in holders(declared))
    return required[0] if by_name else None


def _bound(
    pairs: Iterable[tuple[Parameter, TensorSpec | Parts]], *, direct: bool, keywords: tuple[str, ...] = ()
) -> Bound:
    inputs: list[TensorSpec] = []

    def tree(path: str, declared: object, parts: TensorSpec | Parts) -> Tree:
        if isinstance(parts, TensorSpec):
            inputs.append(parts)
            return len(inputs) - 1
        holder = chosen(path, declared, parts)
        return Node(
            holder,
            tuple(
                (name, tree(f"{path}.{name}", holder.declared(name), parts[name]))
                for name in holder.ordered(parts)
            ),
        )

    arguments, doubts = [], []
    for parameter, parts in pairs:
        single = isinstance(parts, TensorSpec)
        arguments.append(tree(parameter.name, Any if single else parameter.declared, parts))
        if single and parameter.holds_tensors:
            doubts.append(_naming(parameter))
    direct = direct and all(isinstance(each, int) for each in arguments)
    call = Call(arguments=tuple(arguments), keywords=keywords, direct=direct)
    return Bound(inputs=tuple(inputs), call=call, doubt=" ".join(doubts))


def _naming(parameter: Parameter) -> str:
    """Return how to name the tensors in an argument."""
    path = example(parameter.name, parameter.declared)
    return f"Name each tensor in {parameter.name}, like --input '{path}=dtype[shape]'."


def _refuse_unfit(model: torch.nn.Module, parameters: tuple[Parameter, ...], given: Collection[str]) -> None:
    """Raise BadRequest for names that forward does not have, and for arguments without a SPEC."""
    unknown = sorted(set(given) - {parameter.name for parameter in parameters})
    if not unknown:
        _refuse_settings(model, parameters, given)
    missing = [each for each in parameters if each.required and each.name not in given]
    if not unknown and not missing:
        return
    says = (
        f"it has no {', '.join(unknown)}."
        if unknown
        else f"no SPEC is given for {', '.join(each.name for each in missing)}."
    )
    hints = [_naming(each) for each in missing if each.holds_tensors]
    raise BadRequest(
        f"The model's forward takes {', '.join(each.name for each in parameters)}; {says}",
        " ".join(["Name each --input after a parameter of forward.", *hints]),
    )


def _parameters(model: torch.nn.Module) -> tuple[Parameter, ...] | None:
    """Return forward's parameters; None when they have no names."""
    if isinstance(model, torch.jit.ScriptModule):
        arguments = model._c._get_method("forward").schema.arguments[1:]  # noqa: SLF001 - as ScriptMethod does
        return tuple(
            Parameter(name=each.name, required=not each.has_default_value(), annotation=_of_script(each.type))
            for each in arguments
        )
    found = inspect.signature(model.forward).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in found):
        return None
    names = getattr(inspect.unwrap(model.forward), "__globals__", {})
    exported = arguments_of(model)
    return tuple(
        Parameter(
            name=each.name,
            required=each.default is _UNDECLARED,
            annotation=exported.get(each.name, each.annotation),
            names=names,
        )
        for each in found
        if each.kind is not inspect.Parameter.VAR_KEYWORD
    )


def _of_script(kind: Any) -> object:
    """Return TorchScript's type of an argument as an annotation."""
    name = kind.kind()
    if name == "OptionalType":
        return _of_script(kind.getElementType())
    if name == "ListType":
        return types.GenericAlias(list, (_of_script(kind.getElementType()),))
    if name == "DictType":
        return types.GenericAlias(dict, (_of_script(kind.getKeyType()), _of_script(kind.getValueType())))
    if name == "TupleType":
        return types.GenericAlias(tuple, tuple(map(_of_script, kind.elements())))
    plain = {
        "TensorType": torch.Tensor,
        "StringType": str,
        "IntType": int,
        "FloatType": float,
        "BoolType": bool,
    }
    return plain.get(name, Any)


def _refuse_settings(
    model: torch.nn.Module, parameters: tuple[Parameter, ...], given: Collection[str]
) -> None:
    """Raise CompileError for a required argument of forward that is not declared to be a tensor."""
    if isinstance(model, torch.jit.ScriptModule):
        return
    for parameter in parameters:
        if parameter.required and parameter.name not in given and "Tensor" not in str(parameter.annotation):
            raise _setting(model, parameter)


def _setting(model: torch.nn.Module, parameter: Parameter) -> CompileError:
    code = inspect.unwrap(model.forward).__code__
    place = shown(Path(code.co_filename), code.co_firstlineno)
    name = parameter.name
    remedy = f"Fix it in a wrapper module, or give it a default. See {place}."
    if parameter.annotation is _UNDECLARED:
        return CompileError(
            f"forward takes {name}, for which no SPEC is given, and does not say that it is a tensor.",
            f"If it is one, pass --input '{name}=dtype[shape]'; if it holds some, name each, like "
            f"{name}.mask in a dictionary and {name}.0 in a tuple. If not: {remedy[0].lower()}{remedy[1:]}",
        )
    declared = shown_type(parameter.annotation)
    if parameter.holds_tensors:
        return CompileError(
            f"forward takes {name}: {declared}, for which no SPEC is given.",
            f"{_naming(parameter)} See {place}.",
        )
    return CompileError(f"forward takes {name}: {declared}, and an artifact takes tensors only.", remedy)
