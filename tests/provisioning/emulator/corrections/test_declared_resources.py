"""Buckets, identities, log groups and documents are what their template says, and go with it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

TRUST = {"Version": "2012-10-17", "Statement": []}
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
IDENTITIES = ["CAPABILITY_IAM"]


def test_a_bucket_is_as_declared(account: Any) -> None:
    rules = [
        {"Id": "uploads", "Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
        {"Id": "results", "Status": "Enabled", "Prefix": "results/", "ExpirationInDays": 30},
    ]
    algorithm = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    blocked = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    properties = {
        "VersioningConfiguration": {"Status": "Enabled"},
        "PublicAccessBlockConfiguration": dict.fromkeys(blocked, True),
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [algorithm]},
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "LifecycleConfiguration": {"Rules": rules},
        "Tags": [{"Key": "who", "Value": "me"}],
    }
    account.create("s", {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": properties}})
    (name,) = account.bucket_names()
    s3 = account.s3
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"] == dict.fromkeys(
        blocked, True
    )
    encryption = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    ownership = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    assert ownership == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    lifecycle = {each["ID"]: each for each in s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]}
    assert lifecycle["uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert (lifecycle["results"]["Prefix"], lifecycle["results"]["Expiration"]) == ("results/", {"Days": 30})
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=name)["TagSet"]}
    assert (tags["who"], tags["aws:cloudformation:stack-name"]) == ("me", "s")


def test_a_bucket_policy_is_put_and_taken_away(account: Any) -> None:
    bucket = {"Type": "AWS::S3::Bucket"}
    policy = {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": ALLOW},
    }
    account.create("s", {"Bucket": bucket, "Policy": policy})
    (name,) = account.bucket_names()
    assert json.loads(account.s3.get_bucket_policy(Bucket=name)["Policy"]) == ALLOW
    account.update("s", {"Bucket": bucket})
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        account.s3.get_bucket_policy(Bucket=name)


def test_a_versioned_bucket_with_only_a_delete_marker_stays(account: Any) -> None:
    properties = {"VersioningConfiguration": {"Status": "Enabled"}}
    account.create("s", {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": properties}})
    (name,) = account.bucket_names()
    version = account.s3.put_object(Bucket=name, Key="k", Body=b"x")["VersionId"]
    marker = account.s3.delete_object(Bucket=name, Key="k")["VersionId"]
    account.s3.delete_object(Bucket=name, Key="k", VersionId=version)
    account.cloudformation.delete_stack(StackName="s")
    assert account.status("s") == "DELETE_FAILED"
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        account.s3.delete_bucket(Bucket=name)
    account.s3.delete_object(Bucket=name, Key="k", VersionId=marker)
    account.cloudformation.delete_stack(StackName="s")
    assert account.bucket_names() == set()


def _role(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST, **properties}}


def test_a_role_has_its_path_policies_and_tags(account: Any) -> None:
    managed = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    role = _role(
        Path="/amazonei/x/",
        Policies=[{"PolicyName": "own", "PolicyDocument": ALLOW}],
        ManagedPolicyArns=[managed],
        Tags=[{"Key": "who", "Value": "me"}],
    )
    account.create("s", {"Role": role}, Capabilities=IDENTITIES)
    (made,) = account.iam.list_roles(PathPrefix="/amazonei/x/")["Roles"]
    name = made["RoleName"]
    assert account.iam.get_role_policy(RoleName=name, PolicyName="own")["PolicyDocument"] == ALLOW
    attached = account.iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert [each["PolicyArn"] for each in attached] == [managed]
    assert account.iam.list_role_tags(RoleName=name)["Tags"] == [{"Key": "who", "Value": "me"}]


def test_a_generated_role_name_fits_its_limit(account: Any) -> None:
    account.create("s" * 60, {"Role": _role()}, Capabilities=IDENTITIES)
    (made,) = account.iam.list_roles()["Roles"]
    assert len(made["RoleName"]) == 64


def test_identities_go_with_their_stack(account: Any) -> None:
    resources = {
        "Role": _role(),
        "Profile": {
            "Type": "AWS::IAM::InstanceProfile",
            "Properties": {"Roles": [{"Ref": "Role"}], "Path": "/amazonei/x/"},
        },
        "Inline": {
            "Type": "AWS::IAM::Policy",
            "Properties": {"PolicyName": "p", "PolicyDocument": ALLOW, "Roles": [{"Ref": "Role"}]},
        },
        "Managed": {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {"PolicyDocument": ALLOW, "Roles": [{"Ref": "Role"}]},
        },
    }
    stack_id = account.create("s", resources, Capabilities=IDENTITIES)
    (profile,) = account.iam.list_instance_profiles(PathPrefix="/amazonei/x/")["InstanceProfiles"]
    assert [role["RoleName"] for role in profile["Roles"]] == [account.physical_id("s", "Role")]
    account.cloudformation.delete_stack(StackName="s")
    assert account.status(stack_id) == "DELETE_COMPLETE"
    assert account.iam.list_roles()["Roles"] == []
    assert account.iam.list_instance_profiles()["InstanceProfiles"] == []
    assert account.iam.list_policies(Scope="Local")["Policies"] == []


def test_a_role_in_a_foreign_profile_stays(account: Any) -> None:
    account.create("s", {"Role": _role()}, Capabilities=IDENTITIES)
    account.iam.create_instance_profile(InstanceProfileName="foreign")
    account.iam.add_role_to_instance_profile(
        InstanceProfileName="foreign", RoleName=account.physical_id("s", "Role")
    )
    account.cloudformation.delete_stack(StackName="s")
    assert account.status("s") == "DELETE_FAILED"
    assert "instance profile" in account.reason("s", "Role", "DELETE_FAILED")


def test_a_log_group_has_retention_and_tags_and_changes_in_place(account: Any) -> None:
    def group(days: int) -> dict[str, Any]:
        return {"Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": days}}}

    account.create("s", group(7), Tags=[{"Key": "who", "Value": "me"}])
    (made,) = account.logs.describe_log_groups()["logGroups"]
    assert made["retentionInDays"] == 7
    tags = account.logs.list_tags_for_resource(resourceArn=made["arn"].removesuffix(":*"))["tags"]
    assert tags["who"] == "me"
    account.update("s", group(30))
    (changed,) = account.logs.describe_log_groups()["logGroups"]
    assert (changed["logGroupName"], changed["retentionInDays"]) == (made["logGroupName"], 30)
    account.cloudformation.delete_stack(StackName="s")
    assert account.logs.describe_log_groups()["logGroups"] == []


def test_a_document_gets_a_new_default_version_and_keeps_its_name(account: Any) -> None:
    def document(description: str) -> dict[str, Any]:
        content = {"schemaVersion": "2.2", "description": description, "mainSteps": []}
        properties = {"Content": content, "DocumentType": "Command", "UpdateMethod": "NewVersion"}
        return {"Document": {"Type": "AWS::SSM::Document", "Properties": properties}}

    account.create("s", document("one"), Tags=[{"Key": "who", "Value": "me"}])
    name = account.physical_id("s", "Document")
    tags = account.ssm.list_tags_for_resource(ResourceType="Document", ResourceId=name)["TagList"]
    assert {"Key": "who", "Value": "me"} in tags
    account.update("s", document("two"))
    assert account.physical_id("s", "Document") == name
    assert json.loads(account.ssm.get_document(Name=name)["Content"])["description"] == "two"
    account.cloudformation.delete_stack(StackName="s")
    with pytest.raises(ClientError, match="InvalidDocument"):
        account.ssm.get_document(Name=name)


def test_the_note_of_the_cdk_makes_nothing(account: Any) -> None:
    note = {"Type": "AWS::CDK::Metadata", "Properties": {"Analytics": "v2:deflate64:x"}}
    stack_id = account.create("s", {"Note": note})
    assert account.status("s") == "CREATE_COMPLETE"
    account.cloudformation.delete_stack(StackName="s")
    assert account.status(stack_id) == "DELETE_COMPLETE"
