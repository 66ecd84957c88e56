"""Find the model that a MODEL argument names."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from artifacts.compile.dummies import inferred
from artifacts.compile.exported import arguments_of, tensors_in
from artifacts.compile.foreign import user_code
from artifacts.errors import BadRequest, CompileError
from artifacts.serve.program import torchscript_expected
from artifacts.serve.sampling import dtype_name
from artifacts.specs import TensorSpec

if TYPE_CHECKING:
    from types import ModuleType

FORMS = (
    "MODEL is package.module:callable, path/to/file.py:callable, a Hugging Face directory with config.json, "
    "a TorchScript .pt or an exported .pt2."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """The user's module as it came, and what to call the artifact."""

    module: torch.nn.Module
    name: str
    inputs: tuple[TensorSpec, ...] = ()  # what the source says of its inputs, where it says something


def load_model(text: str) -> LoadedModel:
    """Load MODEL; raises BadRequest when it names nothing and CompileError when loading fails."""
    path = Path(text)
    if path.is_dir():
        module = _hugging_face(path)
        return LoadedModel(module=module, name=artifact_name(path.resolve().name), inputs=inferred(module))
    if path.suffix in {".pt", ".pth"}:
        return LoadedModel(module=_torchscript(_existing(path)), name=artifact_name(path.stem))
    if path.suffix == ".pt2":
        return _exported(_existing(path))
    source, colon, attribute = text.rpartition(":")
    if not colon or not source or not attribute:
        raise BadRequest(f"{text!r} is not a model.", FORMS)
    namespace = _from_file(_existing(Path(source))) if source.endswith(".py") else _imported(source)
    return LoadedModel(module=_call(namespace, attribute), name=artifact_name(attribute))


def artifact_name(text: str) -> str:
    """Return the text as lower-case words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "model"


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BadRequest(f"There is no file {path}.", FORMS)
    return path


def _hugging_face(directory: Path) -> torch.nn.Module:
    if not (directory / "config.json").is_file():
        raise BadRequest(f"{directory} has no config.json.", FORMS)
    import transformers

    with user_code(f"Loading {directory}"):
        config = transformers.AutoConfig.from_pretrained(directory, local_files_only=True)
        named = getattr(transformers, (config.architectures or ["AutoModel"])[0], transformers.AutoModel)
        _settle(config)
        model = named.from_pretrained(directory, config=config, local_files_only=True)
    if not isinstance(model, torch.nn.Module):
        raise CompileError(f"{directory} does not hold a PyTorch model.", FORMS)
    return model


def _settle(config: Any) -> None:
    """Ask for answers that are tensors and for weights that are not tied, in old and new transformers."""
    config.use_cache = False  # a cache of keys and values is state, not an answer
    if hasattr(config, "torchscript"):  # transformers 4: clones tied weights, which a trace would share
        config.torchscript = True


def _torchscript(path: Path) -> torch.nn.Module:
    with user_code(f"Loading {path}"), torchscript_expected():
        module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    if not isinstance(module, torch.nn.Module):
        raise CompileError(f"{path} holds no module.", FORMS)
    return module


def _exported(path: Path) -> LoadedModel:
    """Load an exported program; it carries the sizes it was exported with."""
    with user_code(f"Loading {path}"):
        program = torch.export.load(path)
        nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
        given = [nodes[name] for name in program.graph_signature.user_inputs if isinstance(name, str)]
        values = {node.name: node.meta.get("val") for node in given}
        module = program.module()
        inputs = tuple(
            TensorSpec(name=name, dtype=dtype_name(value.dtype), shape=tuple(map(int, value.shape)))
            for name, value in _by_path(module, values).items()
            if isinstance(value, torch.Tensor)
        )
        return LoadedModel(module=module, name=artifact_name(path.stem), inputs=inputs)


def _by_path(module: torch.nn.Module, values: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs of an exported program, named by their paths where an argument holds several."""
    arguments = arguments_of(module).items()
    paths = [path for name, declared in arguments for path in tensors_in(name, declared)]
    nested = len(paths) == len(values) and any("." in path for path in paths)
    return dict(zip(paths, values.values(), strict=True)) if nested else values


def _imported(name: str) -> ModuleType:
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise BadRequest(f"There is no module {name!r} to import.", FORMS)
    with user_code(f"Importing {name}"):
        return importlib.import_module(name)


def _from_file(path: Path) -> ModuleType:
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadRequest(f"{path} is not a Python file.", FORMS)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # torch.jit.script and dataclasses look their module up by name
    with user_code(f"Importing {path}"):
        spec.loader.exec_module(module)
    return module


def _call(namespace: ModuleType, attribute: str) -> torch.nn.Module:
    found = getattr(namespace, attribute, None)
    if found is None:
        nearest = difflib.get_close_matches(attribute, dir(namespace), n=1)
        meant = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise BadRequest(f"{namespace.__name__} has no {attribute!r}.{meant}", FORMS)
    if not isinstance(found, torch.nn.Module):
        if not callable(found):
            raise BadRequest(f"{attribute!r} is neither a module nor callable.", FORMS)
        with user_code(f"Calling {attribute}()"):
            found = found()
    if not isinstance(found, torch.nn.Module):
        raise BadRequest(f"{attribute}() returned a {type(found).__name__}, not an nn.Module.", FORMS)
    return found
