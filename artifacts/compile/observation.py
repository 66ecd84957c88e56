"""Observe what a compile read, so that it need not be done again while all of that is unchanged.

The idea is ccache's direct mode (https://ccache.dev/manual/latest.html#_the_direct_mode): files by content,
listed directories by their names, and places that were looked at in vain. Python's audit events and a few
readers that open files outside Python show them. What cannot be shown (a connection, another process, a
library that may read by itself) makes the compile unrepeatable here: it is done again each time.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import canonical
from artifacts.archive import digest_file

if TYPE_CHECKING:
    from collections.abc import Callable

Inputs = dict[str, str]  # what was read -> its state

# Prefixes whose content the tool's own digest stands for.
_INSTALLED = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {os.path.realpath(sys.base_prefix), os.path.realpath(sys.prefix)}
)
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/")
_UNSEEN = ("socket.connect", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")
# Native libraries that read no files, or only through Python, or through the readers below.
_KNOWN_LIBRARIES = frozenset(
    {"torch", "functorch", "numpy", "numpy.libs", "safetensors", "tokenizers", "regex", "yaml", "markupsafe"}
    | {"charset_normalizer", "hf_xet", "google", "psutil", "sympy", "PIL", "pillow", "rpds", "simplejson"}
)
# Readers outside Python: where they are, and which argument names the file.
_READERS = (
    ("safetensors", "safe_open", 0),
    ("torch._C", "import_ir_module", 1),
    ("torch._C", "PyTorchFileReader", 0),
    ("torch", "from_file", 0),
)


class Observer:
    """What this process has read since `start`."""

    def __init__(self, ignored: tuple[Path, ...]) -> None:
        self._ignored = tuple(f"{path.resolve()}{os.sep}" for path in ignored)
        self._files: set[str] = set()
        self._listed: set[str] = set()
        self._missing: set[str] = set()
        self._unseen = ""
        self._on = False
        self._started_ns = 0

    def start(self) -> None:
        """Begin; the hook stays for the life of the process, as audit hooks do."""
        self._on, self._started_ns = True, time.time_ns()
        sys.addaudithook(self._hear)
        self._watch_probes()

    def watch_readers(self) -> None:
        """Watch the readers outside Python; before the user's model can have taken hold of them."""
        for module, name, argument in _READERS:
            found = sys.modules.get(module)
            reader = getattr(found, name, None)
            if found is not None and reader is not None:
                watched = self._watched(reader, argument)
                # A class that torch asks isinstance() of stays a class.
                setattr(found, name, _subclass(reader, watched) if name == "PyTorchFileReader" else watched)

    def stop(self) -> None:
        """Stop observing."""
        self._on = False

    def inputs(self) -> Inputs | None:
        """Return everything that was read, with its state; None when something could not be seen."""
        if self._unseen or _unknown_libraries():
            return None
        if any(_touched_since(path, self._started_ns) for path in self._files):
            return None  # what was compiled may not be what is there now
        read = {f"file {path}" for path in self._files} | {f"names {path}" for path in self._listed}
        read |= {f"absent {path}" for path in self._missing if not os.path.lexists(path)}
        read |= {f"names {path}" for path in _import_places()}
        return {what: state(what) for what in sorted(read)}

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open":
            self._opened(*arguments)
        elif event in {"os.listdir", "os.scandir"}:
            self._note(self._listed, arguments[0] if arguments[0] is not None else ".")
        elif event in _UNSEEN:
            self._unseen = event

    def _opened(self, path: object, _mode: object, flags: object) -> None:
        writing = os.O_WRONLY | os.O_RDWR
        if not (isinstance(flags, int) and flags & writing):
            self._note(self._files, path)

    def _note(self, book: set[str], path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return  # a descriptor: its opening was heard
        place = _source(_absolute(path))
        if not place.startswith((*_INSTALLED, *_SYSTEM, *self._ignored)):
            book.add(place)

    def _watch_probes(self) -> None:
        """Note what is looked for in vain: a file that appears there later would be read."""
        for name in ("stat", "lstat", "access"):
            setattr(os, name, self._probed(getattr(os, name)))

    def _probed(self, probe: Callable[..., Any]) -> Callable[..., Any]:
        def run(path: Any, *arguments: Any, **options: Any) -> Any:
            try:
                return probe(path, *arguments, **options)
            except OSError:
                if self._on:
                    self._note(self._missing, path)
                raise

        return run

    def _watched(self, reader: Callable[..., Any], argument: int) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            named = arguments[argument] if len(arguments) > argument else options.get("filename")
            if self._on:
                self._note(self._files, named)
            return reader(*arguments, **options)

        return run


def _source(path: str) -> str:
    """Return the file to watch: of byte code its source, whose date and size the import system compares."""
    try:
        return importlib.util.source_from_cache(path) if path.endswith(".pyc") else path
    except ValueError:
        return path  # byte code without a source


def _touched_since(path: str, moment_ns: int) -> bool:
    try:
        return Path(path).stat().st_mtime_ns >= moment_ns
    except OSError:
        return False


def _subclass(reader: type, watched: Callable[..., Any]) -> type:
    """Return a subclass whose construction is watched."""

    def construct(_cls: type, *arguments: Any, **options: Any) -> Any:
        return watched(*arguments, **options)

    return type(reader.__name__, (reader,), {"__new__": construct})


def state(what: str) -> str:
    """Return the present state of something that was read; compare it with the state then."""
    kind, _, path = what.partition(" ")
    if kind == "absent":
        return "present" if os.path.lexists(path) else ""
    try:
        if kind == "names":
            names = sorted(entry.name for entry in Path(path).iterdir())
            return canonical.sha256("\0".join(names).encode())
        return digest_file(Path(path), "file").sha256
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _absolute(path: str | bytes | os.PathLike[str]) -> str:
    """Return the path from the root, with links as they are: a link that is bent elsewhere is a change."""
    return os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - resolve() follows links


def _import_places() -> set[str]:
    """Return the directories of the user's that imports search: a new file there shadows another."""
    places = {_absolute(place or ".") for place in sys.path}
    return {place for place in places if Path(place).is_dir() and not place.startswith(_INSTALLED)}


def _unknown_libraries() -> tuple[str, ...]:
    """Return native libraries of installed packages in this process that may read files by themselves."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ("unknown",)
    paths = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if ".so" in line and "/" in line}
    packages = {
        path.partition("/site-packages/")[2].split("/")[0] for path in paths if "/site-packages/" in path
    }
    return tuple(sorted(name for name in packages if name.split(".")[0] not in _KNOWN_LIBRARIES))
