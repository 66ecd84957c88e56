"""Small real wheels, and pip's own as Python carries it, so that tests install without an index."""

from __future__ import annotations

import ensurepip
import hashlib
import platform
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.serve.wheelhouse import Wheel, Wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def make_wheel(folder: Path, name: str, version: str, source: str, requires: str = "") -> Path:
    """Write a wheel with one module of the distribution's own name (PEP 427)."""
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(inside, text)
    return path


def repacked(folder: Path, name: str) -> Path:
    """Return the wheel that an installed distribution came from, but for its build number."""
    installed = metadata.distribution(name)
    stem = f"{name}-{installed.version}"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in installed.files or ():
            if file.suffix != ".pyc" and file.name not in {"INSTALLER", "REQUESTED", "direct_url.json"}:
                inside = f"{stem}.data/scripts/{file.name}" if ".." in file.parts else str(file)
                archive.write(file.locate(), inside)
    return path


def bundled_pip() -> Path:
    """Return the wheel of pip that this Python carries."""
    (path,) = Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")
    return path


def described(path: Path) -> Wheel:
    data = path.read_bytes()
    return Wheel(filename=path.name, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def stocked(
    store: Callable[[str, bytes], None], *paths: Path, imports: tuple[str, ...], beside: bool = True
) -> Wheelhouse:
    """Put the wheels, pip's too, and their lock into a bucket."""
    files: Mapping[str, Path] = {path.name: path for path in (bundled_pip(), *paths)}
    wheelhouse = Wheelhouse(
        pythons=(PYTHON,),
        architecture=platform.machine(),
        beside=beside,
        imports=imports,
        wheels=tuple(described(path) for _, path in sorted(files.items())),
    )
    for wheel in wheelhouse.wheels:
        store(wheel.key, files[wheel.filename].read_bytes())
    store(wheelhouse.key, wheelhouse.to_json())
    return wheelhouse
