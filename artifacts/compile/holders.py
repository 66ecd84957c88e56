"""What forward declares an argument to be: a tensor, or what holds tensors, and how that is made."""

from __future__ import annotations

import builtins
import collections
import collections.abc
import dataclasses
import inspect
import re
import sys
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch

from artifacts.errors import BadRequest

PATH_HINT = (
    "Name the entries of a dictionary, such as batch.mask, and the items of a tuple or list, from pair.0 on."
)
_WHOLE = re.compile(r"-?\d+")
_DEEPEST = 8  # a declared type may hold itself
_PLAIN = frozenset({dict, collections.defaultdict, collections.abc.Mapping, collections.abc.MutableMapping})
_SEQUENCES = frozenset(
    {
        collections.abc.Sequence,
        collections.abc.Collection,
        collections.abc.Iterable,
        collections.abc.Reversible,
        collections.abc.MutableSequence,
    }
)


class Form(str, Enum):  # noqa: UP042 - artifacts/ runs on Python 3.10
    """How a holder is written."""

    TUPLE = "tuple"
    LIST = "list"
    DICTIONARY = "dictionary"
    RECORD = "record"  # a class that is called with its fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A tuple, list, dictionary or record: what its parts are called, and how it is made of them."""

    form: Form
    kind: Any  # its class
    item: object = Any  # what a part is declared to be
    fields: Mapping[str, object] = field(default_factory=dict)  # what these are; then there are no others
    needed: frozenset[str] = frozenset()  # fields without a default
    keys: type | None = str  # of a dictionary; None: of a kind that cannot be written in a SPEC

    @property
    def name(self) -> str:
        """Return what a person calls it."""
        return str(self.kind.__name__ if self.form is Form.RECORD else self.form.value)

    @property
    def numbered(self) -> bool:
        """Return whether its parts are items, and not called by names."""
        return self.form in {Form.TUPLE, Form.LIST}

    def made(self, values: Mapping[str, object]) -> object:
        """Return one with these parts."""
        if self.numbered:
            return self.kind(values.values())
        if self.form is Form.RECORD:
            return self.kind(**values)
        return self.kind({self.key(name): value for name, value in values.items()})

    def key(self, part: str) -> object:
        """Return the key of a dictionary that a part's name stands for."""
        return int(part) if self.keys is int else part

    def declared(self, part: str) -> object:
        """Return what a part is declared to be."""
        return self.fields.get(part, self.item)

    def ordered(self, parts: Iterable[str]) -> list[str]:
        """Return the parts in the order in which it holds them."""
        return sorted(parts, key=int) if self.numbered else list(parts)

    def misfit(self, parts: Collection[str]) -> str:
        """Return why it cannot consist of these parts, or nothing."""
        if self.numbered and set(parts) != {str(index) for index in range(len(parts))}:
            return f"is a {self.name}, whose items are 0, 1, … without a gap; the SPECs name {_listed(parts)}"
        if self.keys is int and not all(map(_WHOLE.fullmatch, parts)):
            return f"has whole numbers as keys; the SPECs name {_listed(parts)}"
        if self.keys is None:
            return "has keys that no SPEC can name: they are neither text nor whole numbers"
        return self._misfit_of_fields(parts) if self.fields else ""

    def _misfit_of_fields(self, parts: Collection[str]) -> str:
        unknown = [part for part in parts if part not in self.fields]
        if unknown:
            return f"has no {_listed(unknown)}; it has {_listed(self.fields)}"
        missing = [part for part in self.fields if part in self.needed and part not in parts]
        return f"has {_listed(missing)} too, for which no SPEC is given" if missing else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def chosen(path: str, declared: object, parts: Collection[str]) -> Holder:
    """Return what holds these parts of an argument; raises BadRequest where nothing that is declared can."""
    found = holders(declared, parts)
    if not found:
        raise BadRequest(
            f"{path} is declared as {shown_type(declared)}, and SPECs name parts of it: {_listed(parts)}.",
            "Parts can be named of dictionaries, tuples, lists, NamedTuples and dataclasses. "
            "Make anything else in a wrapper module.",
        )
    misfits = [each.misfit(parts) for each in found]
    if "" not in misfits:
        raise BadRequest(f"{path} {misfits[0]}.", PATH_HINT)
    return found[misfits.index("")]


def holders(declared: object, parts: Collection[str] = ()) -> tuple[Holder, ...]:
    """Return what a declared type allows to hold tensors; undeclared, numbered parts make a tuple."""
    declared = _unwrapped(declared)
    if isinstance(declared, Holder):
        return (declared,)
    if _is_open(declared):
        return (_tuple(()),) if any(map(str.isdecimal, parts)) else (_dictionary(dict, ()),)
    kind, arguments = typing.get_origin(declared) or declared, typing.get_args(declared)
    if kind is typing.Union or kind is types.UnionType:
        return tuple(each for member in arguments for each in holders(member, parts))
    return _of_class(kind, arguments) if isinstance(kind, type) else ()


def _of_class(kind: type, arguments: tuple[object, ...]) -> tuple[Holder, ...]:
    record = _record(kind)
    if record is not None:
        return (record,)
    if kind is list or kind is collections.abc.MutableSequence:
        return (Holder(form=Form.LIST, kind=list, item=(*arguments, Any)[0]),)
    if kind is tuple or kind in _SEQUENCES:
        return (_tuple(arguments if kind is tuple else (*arguments[:1], ...)),)
    return (_dictionary(kind, arguments),) if issubclass(kind, Mapping) else ()


def _tuple(arguments: tuple[object, ...]) -> Holder:
    if arguments and ... not in arguments:
        fields = {str(index): each for index, each in enumerate(arguments)}
        return Holder(form=Form.TUPLE, kind=tuple, fields=fields, needed=frozenset(fields))
    return Holder(form=Form.TUPLE, kind=tuple, item=(*arguments[:-1], Any)[0])


def _dictionary(kind: type, arguments: tuple[object, ...]) -> Holder:
    key, item = arguments if len(arguments) == 2 else (Any, Any)
    made: Any = dict if kind in _PLAIN else kind
    nameable = _is_open(key) or not isinstance(key, type) or issubclass(key, str)
    keys = int if key is int else (str if nameable else None)
    return Holder(form=Form.DICTIONARY, kind=made, item=item, keys=keys)


def _record(kind: Any) -> Holder | None:
    """Return a TypedDict, NamedTuple or dataclass; None for any other class."""
    if typing.is_typeddict(kind):
        return Holder(form=Form.DICTIONARY, kind=dict, fields=_hints(kind), needed=kind.__required_keys__)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        fields = tuple(kind._fields)
        needed = frozenset(fields) - frozenset(kind._field_defaults)
    elif dataclasses.is_dataclass(kind):
        declared = [each for each in dataclasses.fields(kind) if each.init]
        fields = tuple(each.name for each in declared)
        needed = frozenset(each.name for each in declared if _has_no_default(each))
    else:
        return None
    hints = _hints(kind)
    fields_declared = {name: hints.get(name, Any) for name in fields}
    return Holder(form=Form.RECORD, kind=kind, fields=fields_declared, needed=needed)


def _has_no_default(declared: dataclasses.Field[Any]) -> bool:
    return declared.default is dataclasses.MISSING and declared.default_factory is dataclasses.MISSING


def takes_tensor(declared: object) -> bool:
    """Return whether an argument declared like this may be a tensor itself."""
    declared = _unwrapped(declared)
    if _is_open(declared):
        return True
    if typing.get_origin(declared) in (typing.Union, types.UnionType):
        return any(map(takes_tensor, typing.get_args(declared)))
    return isinstance(declared, type) and issubclass(declared, torch.Tensor)


def holds_tensors(declared: object, depth: int = _DEEPEST) -> bool:
    """Return whether an argument declared like this holds tensors, as far as the declaration says."""
    if _is_open(declared) or depth == 0:
        return False
    parts = [part for each in holders(declared) for part in each.fields.values() or (each.item,)]
    return any(takes_tensor(part) or holds_tensors(part, depth - 1) for part in parts)


def example(path: str, declared: object) -> str:
    """Return what a tensor in an argument may be called."""
    found = () if takes_tensor(declared) else holders(declared)
    if not found or path.count(".") >= _DEEPEST:
        return path
    holder = found[0]
    anyone = "0" if holder.numbered or holder.keys is int else "KEY"
    part = next((name for name in holder.fields if name in holder.needed), next(iter(holder.fields), anyone))
    return example(f"{path}.{part}", holder.declared(part))


def resolved(annotation: object, names: Mapping[str, Any]) -> object:
    """Return what an annotation stands for, also written as text; names are those of its module."""
    if annotation is inspect.Parameter.empty or isinstance(annotation, Holder):
        return Any if annotation is inspect.Parameter.empty else annotation
    scope = types.SimpleNamespace(__annotations__={"it": annotation})
    return _type_hints(scope, names).get("it", Any)


def _hints(kind: Any) -> dict[str, Any]:
    return _type_hints(kind, vars(sys.modules.get(kind.__module__, types)))


def _type_hints(thing: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(thing, localns=_Names(names))
    except (NameError, TypeError, AttributeError, SyntaxError, ValueError):
        return {}  # it says nothing that could be understood here


class _OnlyChecked(type):
    """The type of whatever a name stands for that type checkers alone import."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __getitem__(cls, _: object) -> Any:
        return cls


class Unknown(metaclass=_OnlyChecked):
    """Anything."""


class _Names(dict[str, Any]):
    """The names of a module, and those that it only imports for type checkers."""

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            raise KeyError(name)  # Python looks there next
        return Unknown


def _unwrapped(declared: object) -> object:
    """Return what an alias of Python 3.12 or a NewType is a name for."""
    return getattr(declared, "__value__", getattr(declared, "__supertype__", declared))


def _is_open(declared: object) -> bool:
    anything = (Any, object, Unknown, inspect.Parameter.empty)
    return isinstance(declared, typing.TypeVar) or any(declared is each for each in anything)


def shown_type(annotation: object) -> str:
    """Return an annotation as it was written."""
    if isinstance(annotation, Holder):
        return annotation.name
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation.__name__
    return str(annotation).replace("typing.", "")
