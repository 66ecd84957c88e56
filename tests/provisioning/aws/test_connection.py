from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from provisioning.aws import connect
from provisioning.errors import CredentialsMissing

if TYPE_CHECKING:
    from pathlib import Path

    from provisioning.aws.ec2 import Ec2
    from provisioning.aws.s3 import S3
    from provisioning.aws.sts import Sts


def config_of(service: Ec2 | S3 | Sts) -> Any:
    # The stubs do not know that a Config has its options as attributes.
    return service._client.meta.config


def test_opening_the_door_does_not_load_boto3_before_it_is_opened() -> None:
    code = "import sys, provisioning.aws; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_profile_that_does_not_exist_is_missing_credentials() -> None:
    with pytest.raises(CredentialsMissing, match="nobody"):
        connect("us-west-2", profile="nobody")


def test_a_client_is_made_once_and_knows_region_endpoint_and_attempts() -> None:
    aws = connect("eu-west-1", endpoint_url="http://localhost:9")
    assert aws.ec2 is aws.ec2
    config = config_of(aws.ec2)
    assert aws.ec2._client.meta.region_name == "eu-west-1"
    assert aws.ec2._client.meta.endpoint_url == "http://localhost:9"
    assert config.retries == {"mode": "standard", "total_max_attempts": 6}
    assert "amazonei" in config.user_agent


def test_the_first_call_gives_up_early_so_that_a_wrong_endpoint_is_told_at_once() -> None:
    retries = config_of(connect("eu-west-1").sts).retries
    assert retries["total_max_attempts"] == 2


@pytest.mark.parametrize(("endpoint", "style"), [("http://localhost:9", "path"), (None, "auto")])
def test_a_local_endpoint_has_buckets_in_the_path(endpoint: str | None, style: str) -> None:
    config = config_of(connect("eu-west-1", endpoint_url=endpoint).s3)
    assert config.s3["addressing_style"] == style


def test_a_profile_of_the_shared_file_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.write_text("[lab]\naws_access_key_id = LABKEY\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    aws = connect("eu-west-1", profile="lab")
    credentials = aws._session.get_credentials()
    assert credentials is not None
    assert credentials.access_key == "LABKEY"
