"""Go back to the version that was served before, through the same proofs as an installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest
from artifacts.serve.current import read_current, require_current
from artifacts.serve.scale import decide
from artifacts.serve.switching import report, serve_version, stop_beside
from artifacts.serve.versions import read_previous, verify_version

if TYPE_CHECKING:
    from artifacts.serve.installation import Host
    from artifacts.serve.requests import RollbackRequest


def roll_back(host: Host, request: RollbackRequest) -> dict[str, Any]:
    """Serve the kept previous version again, as it was served; the one that is left becomes the previous one.

    Where the request names another one to undo, a host which that one did not switch changes nothing.
    """
    home = host.settings.home
    previous = read_previous(home)
    served = read_current(home)
    if request.undoing and (previous is None or previous.left_by != request.undoing):
        stop_beside(host)
        return {"digest": served.digest if served else None, "changed": False}
    current = require_current(home)
    if previous is None:
        raise BadRequest(
            "This host keeps no version from before.", "Ship the version you want: amazonei ship ARTIFACT"
        )
    host.progress(f"verifying the kept version {previous.digest[:12]}")
    manifest = verify_version(host.settings, previous.digest, request.signer)
    scale = decide(previous.scale, manifest, current.workers, host.chips)
    now = serve_version(host, manifest, scale, request.id, previous.python)
    return report(now, manifest, changed=True)
