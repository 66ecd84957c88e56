"""The errors that need AWS to happen, one family per exit code; the others are in `artifacts.errors`.

AmazoneiError                      (artifacts.errors)
 |- PreflightFailed       exit 3   what a plan needs is not there; every finding is listed
 |- WheelsMissing         exit 3   what the hosts need to serve could not be gathered; nothing was sent
 |- AwsError              exit 5   AWS refused or failed
 |   |- AwsUnreachable             no answer from the endpoint
 |   |- CredentialsMissing         no credentials, or expired ones
 |   |- AccessDenied               the credentials do not allow the call
 |   |- NotFound                   the named thing does not exist
 |   |- StackFailed                CloudFormation rolled back; carries the first failed event
 |   |- EndpointFailed             a SageMaker endpoint did not come up; carries its reason and its log
 |   `- HostFailed                 a command on a host failed, timed out or was never delivered
 |- LeftBehind            exit 6   something is still there, and is listed
 `- Interrupted           exit 75  stopped half-way; the message says how to go on
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artifacts.errors import AmazoneiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provisioning.findings import Finding


class PreflightFailed(AmazoneiError):
    """What the plan needs is not there; carries every finding, not only the first."""

    exit_code = 3
    code = "preflight-failed"

    def __init__(self, findings: Sequence[Finding]) -> None:
        problems = [finding for finding in findings if finding.blocks]
        lines = [f"{finding.message} ({finding.remedy})" for finding in problems]
        super().__init__("\n".join(lines), "Nothing was created. Mend these, then run the command again.")
        self.findings = tuple(findings)


class WheelsMissing(AmazoneiError):
    """The packages that hosts need could not be gathered; nothing was made or sent."""

    exit_code = 3
    code = "wheels-missing"


class PluginMissing(AmazoneiError):
    """A program that AWS distributes is not installed; nothing was started."""

    exit_code = 3
    code = "plugin-missing"


class AwsError(AmazoneiError):
    """AWS refused or failed; `operation` and `aws_code` name the call and its answer."""

    exit_code = 5
    code = "aws-error"

    def __init__(self, message: str, hint: str = "", *, operation: str = "", aws_code: str = "") -> None:
        super().__init__(message, hint)
        self.operation = operation
        self.aws_code = aws_code


class AwsUnreachable(AwsError):
    """No answer from the endpoint."""

    code = "aws-unreachable"


class CredentialsMissing(AwsError):
    """There are no credentials, or they have expired."""

    code = "credentials-missing"


class AccessDenied(AwsError):
    """The credentials do not allow the call."""

    code = "access-denied"


class NotFound(AwsError):
    """The named thing does not exist."""

    code = "not-found"


class StackFailed(AwsError):
    """CloudFormation could not reach the wanted state; the message is its first failed event."""

    code = "stack-failed"


class EndpointFailed(AwsError):
    """A SageMaker endpoint did not come up with what was shipped, or is not there to be asked."""

    code = "endpoint-failed"


class HostFailed(AwsError):
    """A command on a host failed, timed out, or was never delivered."""

    code = "host-failed"


class LeftBehind(AmazoneiError):
    """Something of the deployment still exists."""

    exit_code = 6
    code = "left-behind"


class Interrupted(AmazoneiError):
    """Stopped half-way; the hint is the command that goes on."""

    exit_code = 75
    code = "interrupted"
