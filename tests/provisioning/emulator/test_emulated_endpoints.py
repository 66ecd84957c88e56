"""Endpoints of the emulator are stacks that come up, answer with what was shipped, fail, and go."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.provisioning.emulator.emulated import REGION, Emulated, eventually

if TYPE_CHECKING:
    from provisioning.emulator.state import Running

BUCKET = "models-of-tests"
LOADED_S = 120.0
ECHO = """
import json, os

def model_fn(model_dir):
    print("loading for", os.environ["GREETING"])
    return os.environ["GREETING"]

def input_fn(data, content_type):
    return data

def predict_fn(data, model):
    if data == b"bad":
        from sagemaker_inference.errors import BaseInferenceToolkitError
        raise BaseInferenceToolkitError(400, "not this", "not this")
    return [model, data.decode() if isinstance(data, bytes) else data]

def output_fn(answer, accept):
    return json.dumps(answer), accept
"""


def package(code: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo("code/inference.py")
        entry.size = len(code)
        tar.addfile(entry, io.BytesIO(code.encode()))
    return buffer.getvalue()


def template(data: str, name: str = "echo") -> str:
    """A stack with everything an endpoint's stack of ours has."""
    trust = {"Version": "2012-10-17", "Statement": []}
    allowed = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}
    open_policy = {"Version": "2012-10-17", "Statement": [allowed]}
    container = {"Image": "image", "ModelDataUrl": data, "Environment": {"GREETING": "hello"}}
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
        "InstanceType": "ml.inf2.xlarge",
        "InitialInstanceCount": 1,
        "InitialVariantWeight": 1,
    }
    scaled = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": f"endpoint/{name}/variant/AllTraffic",
        "MinCapacity": 1,
        "MaxCapacity": 2,
    }
    tracking = {
        "PolicyName": "tracking",
        "PolicyType": "TargetTrackingScaling",
        "ScalingTargetId": {"Ref": "Target"},
        "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 10.0},
    }
    role = {"Fn::GetAtt": ["Role", "Arn"]}
    config = {"Fn::GetAtt": ["Config", "EndpointConfigName"]}
    resources = {
        "Key": resource("KMS::Key", KeyPolicy=open_policy, PendingWindowInDays=7),
        "Role": resource("IAM::Role", AssumeRolePolicyDocument=trust),
        "Logs": resource("Logs::LogGroup", LogGroupName=f"/aws/sagemaker/Endpoints/{name}"),
        "Model": resource("SageMaker::Model", ExecutionRoleArn=role, PrimaryContainer=container),
        "Config": resource("SageMaker::EndpointConfig", ProductionVariants=[variant]),
        "Endpoint": resource("SageMaker::Endpoint", EndpointName=name, EndpointConfigName=config),
        "Target": resource("ApplicationAutoScaling::ScalableTarget", **scaled),
        "Tracking": resource("ApplicationAutoScaling::ScalingPolicy", **tracking),
    }
    resources["Endpoint"]["DependsOn"], resources["Target"]["DependsOn"] = "Logs", "Endpoint"
    return json.dumps({"Resources": resources})


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def deploy(aws: Emulated, body: str, kind: str, stack: str = "echo") -> None:
    name = f"c{abs(hash(body)) % 10**8}"
    aws.cloudformation.create_change_set(
        StackName=stack, ChangeSetName=name, ChangeSetType=kind, TemplateBody=body,
        Capabilities=["CAPABILITY_IAM"], Tags=[{"Key": "who", "Value": "me"}],
    )  # fmt: skip
    aws.cloudformation.execute_change_set(StackName=stack, ChangeSetName=name)


def status(aws: Emulated, stack: str = "echo") -> str:
    return str(aws.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])


def settled(aws: Emulated, stack: str = "echo") -> str:
    return eventually(
        lambda: "" if (now := status(aws, stack)).endswith("_IN_PROGRESS") else now, within_s=LOADED_S
    )


def store(aws: Emulated, key: str, data: bytes) -> str:
    aws.s3.put_object(Bucket=BUCKET, Key=key, Body=data)
    return f"s3://{BUCKET}/{key}"


def logged(aws: Emulated, name: str) -> str:
    group = f"/aws/sagemaker/Endpoints/{name}"
    return "\n".join(event["message"] for event in aws.logs.filter_log_events(logGroupName=group)["events"])


@pytest.fixture(scope="module")
def echo(aws: Emulated) -> str:
    """A stack whose endpoint serves an echo; returns what its status was while it came up."""
    aws.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    deploy(aws, template(store(aws, "echo.tar.gz", package(ECHO))), "CREATE")
    early: str = eventually(lambda: told(aws)["EndpointStatus"])
    assert settled(aws) == "CREATE_COMPLETE"
    return early


def told(aws: Emulated, name: str = "echo") -> dict[str, Any]:
    try:
        found: dict[str, Any] = aws.sagemaker.describe_endpoint(EndpointName=name)
    except ClientError:
        return {"EndpointStatus": ""}
    return found


def ask(aws: Emulated, body: bytes, content_type: str) -> Any:
    answer = aws.runtime.invoke_endpoint(EndpointName="echo", Body=body, ContentType=content_type)
    return json.loads(answer["Body"].read())


def test_an_endpoint_is_creating_before_it_is_in_service(aws: Emulated, echo: str) -> None:
    assert (echo, told(aws)["EndpointStatus"]) == ("Creating", "InService")
    assert "loading for hello" in logged(aws, "echo")


def test_what_was_shipped_answers(aws: Emulated, echo: str) -> None:
    assert ask(aws, b'{"a": 1}', "application/json") == ["hello", '{"a": 1}']
    with pytest.raises(ClientError, match="ModelError") as refused:
        ask(aws, b"bad", "application/octet-stream")
    told_back: dict[str, Any] = dict(refused.value.response)
    assert told_back["OriginalStatusCode"] == 400
    assert "not this" in told_back["OriginalMessage"]
    # Bytes that are no text reach the model as they were.
    with pytest.raises(ClientError, match="can't decode byte 0xff"):
        ask(aws, b"\xff\xfe", "application/octet-stream")


def test_an_absent_endpoint_is_a_validation_error(aws: Emulated) -> None:
    with pytest.raises(ClientError, match=r"ValidationError.*absent of account"):
        aws.runtime.invoke_endpoint(EndpointName="absent", Body=b"")


def test_an_update_that_fails_leaves_what_served(aws: Emulated, echo: str) -> None:
    before = told(aws)["EndpointConfigName"]
    deploy(aws, template(store(aws, "broken.tar.gz", b"no archive")), "UPDATE")
    assert settled(aws) == "UPDATE_ROLLBACK_COMPLETE"
    events = aws.cloudformation.describe_stack_events(StackName="echo")["StackEvents"]
    reasons = [
        each.get("ResourceStatusReason", "") for each in events if each["LogicalResourceId"] == "Endpoint"
    ]
    assert any("did not pass the ping health check" in reason for reason in reasons)
    assert "cannot be unpacked" in logged(aws, "echo")
    assert (told(aws)["EndpointStatus"], told(aws)["EndpointConfigName"]) == ("InService", before)
    assert ask(aws, b"still", "text/csv") == ["hello", "still"]
    assert len(aws.sagemaker.list_models()["Models"]) == 1


def test_a_new_endpoint_that_fails_says_why(aws: Emulated, echo: str) -> None:
    deploy(aws, template("s3://models-of-tests/absent.tar.gz", "lost"), "CREATE", "lost")
    assert settled(aws, "lost") == "ROLLBACK_COMPLETE"
    events = aws.cloudformation.describe_stack_events(StackName="lost")["StackEvents"]
    assert any(
        "Could not find model data at s3://models-of-tests/absent.tar.gz" in str(each) for each in events
    )
    aws.cloudformation.delete_stack(StackName="lost")


def test_everything_goes_with_the_stack(aws: Emulated, echo: str, running: Running) -> None:
    session = boto3.Session(running.access_key, running.secret_key, region_name=REGION)
    kms, scaling = (
        session.client(name, endpoint_url=running.endpoint_url) for name in ("kms", "application-autoscaling")
    )
    assert len(scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]) == 1
    key = aws.cloudformation.describe_stack_resource(StackName="echo", LogicalResourceId="Key")
    endpoint = told(aws)["EndpointArn"]
    assert {"Key": "who", "Value": "me"} in aws.sagemaker.list_tags(ResourceArn=endpoint)["Tags"]
    aws.cloudformation.delete_stack(StackName="echo")
    assert told(aws)["EndpointStatus"] == ""
    assert aws.sagemaker.list_models()["Models"] == []
    assert aws.sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert aws.logs.describe_log_groups(logGroupNamePrefix="/aws/sagemaker/")["logGroups"] == []
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    state = kms.describe_key(KeyId=key["StackResourceDetail"]["PhysicalResourceId"])["KeyMetadata"][
        "KeyState"
    ]
    assert state == "PendingDeletion"
    with pytest.raises(ClientError, match="ValidationError"):
        ask(aws, b"gone", "text/csv")


def test_a_notebook_is_in_its_network_and_goes_with_its_stack(aws: Emulated) -> None:
    trust = {"Version": "2012-10-17", "Statement": []}
    subnet = aws.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    notebook = resource(
        "SageMaker::NotebookInstance",
        InstanceType="ml.t3.medium",
        RoleArn={"Fn::GetAtt": ["Role", "Arn"]},
        SubnetId=subnet,
        DirectInternetAccess="Disabled",
        VolumeSizeInGB=50,
    )
    resources = {"Role": resource("IAM::Role", AssumeRolePolicyDocument=trust), "Notebook": notebook}
    deploy(aws, json.dumps({"Resources": resources}), "CREATE", "paper")
    assert status(aws, "paper") == "CREATE_COMPLETE"
    (made,) = aws.sagemaker.list_notebook_instances()["NotebookInstances"]
    facts = aws.sagemaker.describe_notebook_instance(NotebookInstanceName=made["NotebookInstanceName"])
    assert (facts["SubnetId"], facts["DirectInternetAccess"], facts["VolumeSizeInGB"]) == (
        subnet,
        "Disabled",
        50,
    )
    assert {"Key": "who", "Value": "me"} in aws.sagemaker.list_tags(ResourceArn=made["NotebookInstanceArn"])[
        "Tags"
    ]
    aws.cloudformation.delete_stack(StackName="paper")
    assert aws.sagemaker.list_notebook_instances()["NotebookInstances"] == []
