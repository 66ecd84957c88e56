"""What of the user's model travels to a host that compiles it: files, and never more than was shown.

| MODEL | travels |
|---|---|
| `path/file.py:callable` | the folder of the file with all below it |
| a Hugging Face folder | the folder |
| `model.pt`, `model.pt2` | the file |
| `package.module:callable` | nothing: the package must be installed on the host |

Not the program: what a newer PyTorch exports, the older one of a Neuron image does not open.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 4_000_000_000
MOST_FILES = 2_000
_LEFT_OUT = frozenset({"__pycache__", "build", "cdk.out", "node_modules", "venv"})
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SMALLER = "Put the model's file and what it reads into a folder of their own."


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The files of a model, and the MODEL argument that names it from their root."""

    root: Path
    files: tuple[Path, ...]  # relative to the root, sorted
    model: str

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum((self.root / file).stat().st_size for file in self.files)


def find_source(model: str, working: Path) -> Source:
    """Return what travels for a MODEL argument; raises BadRequest for what is missing or too much.

    Paths below the working directory keep their names, so that the model is imported as it is at home.
    """
    text, colon, attribute = model.rpartition(":") if ".py:" in model else (model, "", "")
    path = Path(text)
    if not (path.suffix in {".py", ".pt", ".pth", ".pt2"} or path.is_dir()):
        return Source(root=working, files=(), model=model)
    if not path.exists():
        raise BadRequest(f"There is no {path}.", "Name the model as for a compile on this machine.")
    top = path.resolve().parent if path.is_file() else path.resolve()
    root = working.resolve() if top.is_relative_to(working.resolve()) else top.parent
    found = _below(top) if path.suffix == ".py" or path.is_dir() else iter([path.resolve()])
    source = Source(
        root=root,
        files=tuple(sorted(file.relative_to(root) for file in found)),
        model=f"{path.resolve().relative_to(root)}{colon}{attribute}",
    )
    _refuse_too_much(source, top)
    return source


def pack_source(source: Source, path: Path) -> str:
    """Write the files into a zip, the same bytes for the same files; return its SHA-256."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in source.files:
            entry = zipfile.ZipInfo(file.as_posix(), _EPOCH)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3  # Unix, whatever system packs
            with (
                (source.root / file).open("rb") as stream,
                archive.open(entry, "w", force_zip64=True) as copy,
            ):
                while chunk := stream.read(1 << 20):
                    copy.write(chunk)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _below(top: Path) -> Iterator[Path]:
    """Yield the regular files below a folder but what is hidden, built or not of the folder itself."""
    for folder, names, files in os.walk(top):
        names[:] = [name for name in names if not (name.startswith(".") or name in _LEFT_OUT)]
        for name in files:
            path = Path(folder, name)
            if not (name.startswith(".") or path.suffix == ".aei" or path.is_symlink()):
                yield path


def _refuse_too_much(source: Source, top: Path) -> None:
    if len(source.files) > MOST_FILES or source.size > MOST_BYTES:
        raise BadRequest(
            f"{top} has {len(source.files)} files of {source.size / 1e6:.0f} MB; {MOST_FILES} files of "
            f"{MOST_BYTES / 1e6:.0f} MB are the most that travel.",
            _SMALLER,
        )
