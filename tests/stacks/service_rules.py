"""What must hold for buckets, roles that services take on, SageMaker, and the guard; no pack sees these."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Template = dict[str, Any]
    Broken = Iterator[tuple[str, str]]

POLICY_CHARACTERS = 6_144  # of a managed policy, without white space
REFERENCE_CHARACTERS = 24  # what a reference becomes: an account, a region, a generated name


def pass_role_is_narrow(template: Template) -> Broken:
    """A role is passed by its ARN, to one service."""
    for name, properties in _of_type(template, "AWS::IAM::ManagedPolicy"):
        for statement in properties["PolicyDocument"]["Statement"]:
            if "iam:PassRole" not in json.dumps(statement["Action"]):
                continue
            service = statement.get("Condition", {}).get("StringEquals", {}).get("iam:PassedToService")
            if "*" in json.dumps(statement["Resource"]) or not isinstance(service, str):
                yield name, "a role is passed by pattern, or to any service"


def policies_fit(template: Template) -> Broken:
    """Managed policies stay under IAM's limit, with references at the length they will have."""
    for name, properties in _of_type(template, "AWS::IAM::ManagedPolicy"):
        size = sum(_length(part) for part in _leaves(properties["PolicyDocument"]))
        if size > POLICY_CHARACTERS:
            yield name, f"the policy may have {size} characters"


def models_are_isolated(template: Template) -> Broken:
    """A model runs in our subnets, and its container calls nobody."""
    for name, properties in _of_type(template, "AWS::SageMaker::Model"):
        if properties.get("EnableNetworkIsolation") is not True:
            yield name, "the container may call out"
        if not properties.get("VpcConfig", {}).get("Subnets"):
            yield name, "the model runs outside of our network"


def endpoints_keep_to_themselves(template: Template) -> Broken:
    """Nothing that is asked of a model is captured."""
    for name, properties in _of_type(template, "AWS::SageMaker::EndpointConfig"):
        if properties.get("DataCaptureConfig", {}).get("EnableCapture"):
            yield name, "requests are captured"


def notebooks_are_private(template: Template) -> Broken:
    """A notebook has no way to the internet, no root, an encrypted volume and IMDSv2."""
    wanted = {"DirectInternetAccess": "Disabled", "RootAccess": "Disabled"}
    for name, properties in _of_type(template, "AWS::SageMaker::NotebookInstance"):
        if wanted.items() - {key: properties.get(key) for key in wanted}.items():
            yield name, "the notebook has the internet or root"
        metadata = properties.get("InstanceMetadataServiceConfiguration", {})
        if metadata.get("MinimumInstanceMetadataServiceVersion") != "2" or "KmsKeyId" not in properties:
            yield name, "the notebook is not encrypted, or takes IMDSv1"


def schedules_cannot_get_lost(template: Template) -> Broken:
    """A schedule of the guard deletes a stack, once, and says where it failed."""
    for name, properties in _of_type(template, "AWS::Scheduler::Schedule"):
        target = properties["Target"]
        if "aws-sdk:cloudformation:deleteStack" not in json.dumps(target["Arn"]):
            yield name, "the schedule does something else than delete a stack"
        if "DeadLetterConfig" not in target or not target.get("RetryPolicy", {}).get("MaximumRetryAttempts"):
            yield name, "a deletion that fails is lost"


def buckets_are_private(template: Template) -> Broken:
    """Buckets are encrypted and versioned, closed to the public, and speak TLS only."""
    policies = [policy for _, policy in _of_type(template, "AWS::S3::BucketPolicy")]
    guarded = [policy["Bucket"]["Ref"] for policy in policies if _denies_plain_http(policy)]
    for name, resource in _of_type(template, "AWS::S3::Bucket"):
        blocks = resource.get("PublicAccessBlockConfiguration", {})
        if len(blocks) != 4 or not all(blocks.values()):
            yield name, "the bucket can be made public"
        if "BucketEncryption" not in resource or "VersioningConfiguration" not in resource:
            yield name, "the bucket is not encrypted and versioned"
        if name not in guarded:
            yield name, "the bucket answers without TLS"


SERVICE_RULES = (
    buckets_are_private,
    pass_role_is_narrow,
    policies_fit,
    models_are_isolated,
    endpoints_keep_to_themselves,
    notebooks_are_private,
    schedules_cannot_get_lost,
)


def _denies_plain_http(policy: dict[str, Any]) -> bool:
    plain_http = {"Bool": {"aws:SecureTransport": "false"}}
    denied = (each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Deny")
    return any(statement.get("Condition") == plain_http for statement in denied)


def _of_type(template: Template, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, resource in template["Resources"].items():
        if resource["Type"] == kind:
            yield name, resource.get("Properties", {})


def _leaves(value: Any) -> Iterator[Any]:
    """Yield keys, texts and references of a document, with the punctuation around them."""
    if isinstance(value, dict) and set(value) == {"Fn::Join"}:
        yield from value["Fn::Join"][1]
    elif isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref")):
        yield {"Ref": ""}
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"'{key}':,"
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield "'',"
            yield from _leaves(item)
    else:
        yield str(value)


def _length(part: Any) -> int:
    return len(part) if isinstance(part, str) else REFERENCE_CHARACTERS
