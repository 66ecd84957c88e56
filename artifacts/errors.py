"""The errors a user can cause or meet, one family per exit code.

AmazoneiError                      a fact and a remedy; never raised bare
 |- BadRequest            exit 2   the request cannot be right, whatever the state of the world
 |   `- TargetRetired              the accelerator can no longer be had on AWS
 |- CompileError          exit 4   no artifact that gives the same answers could be made or opened
 |   |- ToolchainMissing           the compiler for this target is not installed here
 |   |- VerificationFailed         the compiled program answers differently from the eager model
 |   `- ArtifactRefused            the archive is corrupt, altered, or made for another target
 |- ServeFailed           exit 5   a host could not fetch, start or answer; what it served before stays
 |   `- DiskFull                    a host has no room left
 `- HostBroken            exit 1   what nobody foresaw on a host: a defect of ours, or of the machine

The families that need AWS (preflight, AWS itself, left-overs, interruption) are in
`provisioning.errors`. This module travels to the hosts, so it imports nothing.
"""

from __future__ import annotations

from typing import ClassVar


class AmazoneiError(Exception):
    """A fact and a remedy, with the exit code and the code word scripts can rely on."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def as_document(self) -> dict[str, str]:
        """Return the error as the JSON object the contract promises."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class BadRequest(AmazoneiError):
    """The request cannot be right, whatever the state of the world."""

    exit_code = 2
    code = "bad-request"


class TargetRetired(BadRequest):
    """The accelerator can no longer be had on AWS."""

    code = "target-retired"


class CompileError(AmazoneiError):
    """No artifact that gives the same answers could be made."""

    exit_code = 4
    code = "compile-failed"


class ToolchainMissing(CompileError):
    """The compiler for this target is not installed here."""

    code = "toolchain-missing"


class VerificationFailed(CompileError):
    """The compiled program does not answer like the eager model."""

    code = "verification-failed"


class ArtifactRefused(CompileError):
    """The archive is corrupt, altered, or made for another target; nothing of it was loaded."""

    code = "artifact-refused"


class ServeFailed(AmazoneiError):
    """A host could not fetch, start or answer with an artifact; what it served before stays."""

    exit_code = 5
    code = "serve-failed"


class DiskFull(ServeFailed):
    """A host has no room left for what it was to do."""

    code = "disk-full"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The host's disk is full: {what}",
            "Make room on it or its volume larger (aws ec2 modify-volume, then growpart), and send again.",
        )


class HostBroken(AmazoneiError):
    """Nobody foresaw this; the traceback is in the command's output."""

    code = "host-broken"
