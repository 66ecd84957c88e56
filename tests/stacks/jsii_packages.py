"""Where jsii unpacks the CDK's library, for processes of tests that have a home of their own.

Unpacking takes a core a quarter of a minute, and a new home has nothing; this is where it is kept already.
"""

from __future__ import annotations

from pathlib import Path

KEPT = {"JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(Path.home() / ".cache" / "aws" / "jsii" / "package-cache")}
