"""An endpoint may run on what SageMaker offers."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError


def _configure(instance_type: str) -> None:
    client: Any = boto3.client("sagemaker", "us-west-2")
    client.create_model(
        ModelName="m", PrimaryContainer={"Image": "i"}, ExecutionRoleArn="arn:aws:iam::1:role/r"
    )
    variant = {
        "VariantName": "v",
        "ModelName": "m",
        "InitialInstanceCount": 1,
        "InstanceType": instance_type,
        "InitialVariantWeight": 1,
    }
    client.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])


@pytest.mark.parametrize(
    "instance_type", ["ml.inf1.xlarge", "ml.inf2.xlarge", "ml.trn1.2xlarge", "ml.g5.xlarge"]
)
def test_an_endpoint_may_run_on_an_accelerator(account: Any, instance_type: str) -> None:
    _configure(instance_type)


def test_an_endpoint_cannot_run_on_an_unknown_type(account: Any) -> None:
    with pytest.raises(ClientError, match=r"ml\.inf9\.xlarge"):
        _configure("ml.inf9.xlarge")
