"""What sweeps found, kept beside the results: the next ship of the model serves with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from artifacts.serve.scale import Scale

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from provisioning.shipping import Package


class Scales:
    """Workers, and requests at once, by accelerator and model; of emulated hosts apart from real ones."""

    def __init__(self, work_dir: Path, *, emulated: bool) -> None:
        self._file = work_dir / ("scales.emulated.json" if emulated else "scales.json")

    def note(self, accelerator: str, served: Mapping[str, Any]) -> None:
        """Keep how a host serves, in the place of what was kept for the same model."""
        found = self._read()
        scale = {"workers": served["workers"], "batch": served["batch"], "digest": served["digest"]}
        found.setdefault(accelerator, {})[served["name"]] = scale
        self._file.parent.mkdir(parents=True, exist_ok=True)
        beside = self._file.with_name(self._file.name + ".part")
        beside.write_text(json.dumps(found, indent=2), encoding="utf-8")
        beside.replace(self._file)

    def of(self, package: Package) -> Scale | None:
        """Return what was found for the package's model, if this artifact takes as many at once.

        A retrained model is as fast as it was, so the name counts and not the digest.
        """
        try:
            found = self._read()[package.accelerator][package.name]
            scale = Scale(workers=int(found["workers"]), batch=int(found["batch"]))
        except (KeyError, TypeError, ValueError):
            return None
        return scale if scale.batch <= package.batch_limit else None

    def _read(self) -> dict[str, Any]:
        """Return the file's document; what is not there, or was cut off, is found anew by the next sweep."""
        try:
            document = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}
