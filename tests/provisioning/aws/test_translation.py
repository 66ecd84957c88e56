from __future__ import annotations

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore import exceptions as botocore

from provisioning.aws.translation import from_answer, translated
from provisioning.errors import AccessDenied, AwsError, AwsUnreachable, CredentialsMissing, NotFound


def answer(code: str, message: str = "said AWS") -> botocore.ClientError:
    return botocore.ClientError({"Error": {"Code": code, "Message": message}}, "DoThing")


@pytest.mark.parametrize(
    ("code", "message", "family"),
    [
        ("AccessDenied", "no", AccessDenied),
        ("AccessDeniedException", "no", AccessDenied),
        ("UnauthorizedOperation", "no", AccessDenied),
        ("403", "Forbidden", AccessDenied),
        ("ExpiredToken", "old", CredentialsMissing),
        ("ExpiredTokenException", "old", CredentialsMissing),
        ("RequestExpired", "old", CredentialsMissing),
        ("InvalidClientTokenId", "who?", CredentialsMissing),
        ("UnrecognizedClientException", "who?", CredentialsMissing),
        ("SignatureDoesNotMatch", "who?", CredentialsMissing),
        ("404", "Not Found", NotFound),
        ("NoSuchBucket", "gone", NotFound),
        ("InvalidVpcID.NotFound", "gone", NotFound),
        ("ParameterNotFound", "gone", NotFound),
        ("ValidationError", "Stack with id demo does not exist", NotFound),
        ("ValidationError", "Template format error", AwsError),
        ("VcpuLimitExceeded", "too many", AwsError),
        ("Throttling", "Rate exceeded", AwsError),
    ],
)
def test_an_answer_becomes_the_family_of_its_code(code: str, message: str, family: type[AwsError]) -> None:
    error = from_answer("ec2:RunInstances", answer(code, message))
    assert type(error) is family
    assert (error.operation, error.aws_code) == ("ec2:RunInstances", code)
    assert error.message == f"ec2:RunInstances was answered {code}: {message}"


def test_expired_credentials_are_told_as_expired() -> None:
    assert "expired" in from_answer("sts:GetCallerIdentity", answer("ExpiredToken")).hint
    assert "expired" not in from_answer("sts:GetCallerIdentity", answer("InvalidClientTokenId")).hint


def test_throttling_advises_to_wait() -> None:
    assert "a minute" in from_answer("ec2:DescribeVpcs", answer("RequestLimitExceeded")).hint


@pytest.mark.parametrize(
    ("raised", "family"),
    [
        (botocore.NoCredentialsError(), CredentialsMissing),
        (
            botocore.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            CredentialsMissing,
        ),
        (botocore.ProfileNotFound(profile="nobody"), CredentialsMissing),
        (botocore.UnauthorizedSSOTokenError(), CredentialsMissing),
        (botocore.EndpointConnectionError(endpoint_url="http://localhost:1"), AwsUnreachable),
        (botocore.ConnectTimeoutError(endpoint_url="http://localhost:1"), AwsUnreachable),
        (botocore.ReadTimeoutError(endpoint_url="http://localhost:1"), AwsUnreachable),
        (botocore.ConnectionClosedError(endpoint_url="http://localhost:1"), AwsUnreachable),
        (botocore.SSLError(endpoint_url="https://localhost:1", error=OSError("bad")), AwsUnreachable),
        (botocore.InvalidRegionError(region_name="us west"), AwsUnreachable),
    ],
)
def test_a_failure_to_ask_keeps_the_call_and_the_cause(raised: Exception, family: type[AwsError]) -> None:
    with pytest.raises(AwsError) as caught, translated("sts:GetCallerIdentity"):
        raise raised
    assert type(caught.value) is family
    assert caught.value.__cause__ is raised
    assert caught.value.operation == "sts:GetCallerIdentity"
    assert str(raised) in caught.value.message
    assert caught.value.hint


def test_a_refused_upload_is_told_by_the_answer_inside_it() -> None:
    # boto3 raises it this way, from within the handler of the ClientError.
    refused = S3UploadFailedError("Failed to upload")
    refused.__context__ = answer("AccessDenied")
    with pytest.raises(AccessDenied) as caught, translated("s3:PutObject"):
        raise refused
    assert caught.value.aws_code == "AccessDenied"


def test_a_bug_of_ours_is_not_dressed_up_as_an_answer() -> None:
    bug = botocore.ParamValidationError(report="Missing required parameter")
    with pytest.raises(botocore.ParamValidationError), translated("ec2:DescribeVpcs"):
        raise bug
