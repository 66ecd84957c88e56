"""What botocore raises, in this project's words: the only place that knows AWS's error codes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from boto3.exceptions import S3UploadFailedError
from botocore import exceptions as aws

from provisioning.errors import AccessDenied, AwsError, AwsUnreachable, CredentialsMissing, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCESS_CODES = frozenset(
    {
        "403",
        "AccessDenied",
        "AccessDeniedException",
        "AllAccessDisabled",
        "AuthorizationError",
        "Forbidden",
        "NotAuthorized",
        "UnauthorizedOperation",
    }
)
CREDENTIAL_CODES = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
NOT_FOUND_CODES = frozenset(
    {
        "404",
        "ChangeSetNotFound",
        "InvalidDocument",
        "InvalidInstanceId",
        "InvocationDoesNotExist",
        "NoSuchBucket",
        "NoSuchEntity",
        "NoSuchKey",
        "NoSuchResourceException",
        "NoSuchTagSet",
        "NoSuchUpload",
        "ParameterNotFound",
        "ResourceNotFoundException",
        "StackNotFoundException",
        "TargetGroupNotFound",
    }
)
THROTTLING_CODES = frozenset(
    {"RequestLimitExceeded", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"}
)

NO_CREDENTIALS = (
    aws.ConfigParseError,
    aws.CredentialRetrievalError,
    aws.LoginError,
    aws.NoAuthTokenError,
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.ProfileNotFound,
    aws.RefreshWithMFAUnsupportedError,
    aws.SSOError,
    aws.TokenRetrievalError,
)
NO_ANSWER = (
    aws.ConnectionError,
    aws.EndpointResolutionError,
    aws.HTTPClientError,
    aws.InvalidRegionError,
    aws.UnknownEndpointError,
)

SIGN_IN = "Sign in (aws sso login, or aws configure), or name a profile with --profile."


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Turn what botocore raises during `operation` ("service:Call") into the families of `errors`."""
    try:
        yield
    except S3UploadFailedError as error:
        # boto3 keeps only the text of the ClientError; the error itself is its context.
        cause = error.__context__
        if isinstance(cause, aws.ClientError):
            raise from_answer(operation, cause) from error
        raise AwsError(str(error), operation=operation) from error
    except aws.ClientError as error:
        raise from_answer(operation, error) from error
    except NO_CREDENTIALS as error:
        raise CredentialsMissing(
            f"There are no usable AWS credentials: {error}", SIGN_IN, operation=operation
        ) from error
    except NO_ANSWER as error:
        raise AwsUnreachable(
            f"AWS gave no answer to {operation}: {error}",
            "Check the network, --region and --endpoint-url.",
            operation=operation,
        ) from error


def from_answer(operation: str, error: aws.ClientError) -> AwsError:
    """Return the error for an answer of AWS, chosen by its code."""
    answer = error.response.get("Error", {})
    code, text = answer.get("Code", ""), answer.get("Message", "")
    family, hint = _family(code, text)
    message = f"{operation} was answered {code}: {text}" if text else f"{operation} was answered {code}."
    return family(message, hint, operation=operation, aws_code=code)


def _family(code: str, text: str) -> tuple[type[AwsError], str]:
    if code in ACCESS_CODES:
        return AccessDenied, "Ask for permission to make this call, or use another --profile."
    if code in EXPIRED_CODES:
        return CredentialsMissing, f"The credentials have expired. {SIGN_IN}"
    if code in CREDENTIAL_CODES:
        return CredentialsMissing, SIGN_IN
    if code in NOT_FOUND_CODES or code.endswith(".NotFound") or _is_missing_stack(code, text):
        return NotFound, ""
    if code in THROTTLING_CODES:
        return AwsError, "AWS asked to slow down, also after retries; run the command again in a minute."
    return AwsError, ""


def _is_missing_stack(code: str, text: str) -> bool:
    # CloudFormation has no code of its own for a stack that is not there.
    return code == "ValidationError" and text.endswith("does not exist")
