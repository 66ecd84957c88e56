"""What hosts install to serve, as `ship` and `run` need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioning.cli.options import Context
    from provisioning.wheelhouse import Gathered


def gather_wheels(context: Context, accelerator: str, *, wanted: bool | None = None) -> Gathered | None:
    """Return what the hosts of an accelerator install, or None; raise `WheelsMissing` or `BadRequest`.

    Unless told otherwise, hosts on AWS get wheels, and emulated ones serve with this machine's own Python.
    """
    from provisioning.config import parse_torch_index
    from provisioning.wheelhouse import TORCH_INDEX, Gathering, gather_for

    emulated = context.settings.emulated
    index = parse_torch_index(context.document, TORCH_INDEX)
    if not (not emulated if wanted is None else wanted):
        return None
    with context.console.activity(f"gathering what {accelerator} hosts install"):
        return gather_for(
            accelerator, Gathering(torch_index=index), context.console.detail, emulated=emulated
        )
