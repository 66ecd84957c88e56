"""What every template of ours must hold, for the defects that no public rule pack sees.

Each rule is a pure function of one template; `violations` asks them all. The packs (cfn-lint and
others) are gates of their own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stacks.boot import LIMIT_BYTES as USER_DATA_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Template = dict[str, Any]
    Resource = dict[str, Any]
    Broken = Iterator[tuple[str, str]]  # a logical id, and what is wrong with it

TEMPLATE_BYTES = 51_200  # what CreateChangeSet takes without a detour through S3
TAGS = {"amazonei:deployment", "amazonei:run", "amazonei:expires-at"}
UNTAGGABLE = {
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::IAM::InstanceProfile",
    "AWS::S3::BucketPolicy",
}
FORBIDDEN = (
    "AWS::CDK::Metadata",
    "AWS::CloudFormation::CustomResource",
    "AWS::EC2::EIP",
    "AWS::EC2::InternetGateway",
    "AWS::EC2::KeyPair",
    "AWS::EC2::NatGateway",
    "AWS::Lambda::",
    "Custom::",
)
WORLD = {"0.0.0.0/0", "::/0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule and the resource that breaks it; the resource is empty when it is the whole template."""

    rule: str
    resource: str
    message: str


def violations(body: str) -> tuple[Violation, ...]:
    """Return everything our own rules have against a template."""
    template: Template = json.loads(body)
    found = [Violation(rule="size", resource="", message=message) for message in _too_large(body)]
    for rule in RULES:
        name = rule.__name__.replace("_", "-")
        found.extend(Violation(rule=name, resource=where, message=what) for where, what in rule(template))
    return tuple(found)


def nothing_forbidden(template: Template) -> Broken:
    """No way to the internet, no code that runs in the account, no bootstrap."""
    for name, resource in template["Resources"].items():
        if resource["Type"].startswith(FORBIDDEN):
            yield name, f"{resource['Type']} may not be part of a deployment"
    if "Rules" in template or "BootstrapVersion" in template.get("Parameters", {}):
        yield "", "the template asks for a bootstrapped account"


def nothing_retained(template: Template) -> Broken:
    """Deleting the stack deletes everything."""
    for name, resource in template["Resources"].items():
        if resource.get("DeletionPolicy") != "Delete" or resource.get("UpdateReplacePolicy") != "Delete":
            yield name, "it is not said that this is deleted with its stack"


def everything_tagged(template: Template) -> Broken:
    """What can carry a tag carries all of ours."""
    for name, resource in template["Resources"].items():
        tags = {tag["Key"] for tag in resource.get("Properties", {}).get("Tags", [])}
        missing = TAGS - tags
        if resource["Type"] not in UNTAGGABLE and missing:
            yield name, f"tags missing: {', '.join(sorted(missing))}"


def ingress_from_groups_only(template: Template) -> Broken:
    """Nobody enters by address: what may enter is another group of the deployment."""
    for name, resource in _of_type(template, "AWS::EC2::SecurityGroup"):
        if resource.get("SecurityGroupIngress"):
            yield name, "ingress is written into the group"
    for name, resource in _of_type(template, "AWS::EC2::SecurityGroupIngress"):
        if "SourceSecurityGroupId" not in resource or _port_range(resource) != ("tcp", 443, 443):
            yield name, "ingress is something else than TLS from a group"


def egress_is_narrow(template: Template) -> Broken:
    """Every group says where it may talk to, and it is never everywhere."""
    for name, resource in _of_type(template, "AWS::EC2::SecurityGroup"):
        rules = resource.get("SecurityGroupEgress", [])
        if not rules:
            yield name, "without an egress rule AWS allows all"
        for rule in rules:
            if _port_range(rule) != ("tcp", 443, 443) or {rule.get("CidrIp"), rule.get("CidrIpv6")} & WORLD:
                yield name, "egress is wider than TLS to a known place"
    for name, _ in _of_type(template, "AWS::EC2::SecurityGroupEgress"):
        yield name, "egress is written outside of its group"


def actions_are_named(template: Template) -> Broken:
    """No policy that allows something has a wildcard in its actions."""
    for name, statement in _statements(template):
        wildcards = [action for action in _list(statement.get("Action")) if "*" in action]
        if statement["Effect"] == "Allow" and (wildcards or "NotAction" in statement):
            yield name, f"allows by wildcard: {', '.join(wildcards) or 'NotAction'}"


def endpoints_are_restricted(template: Template) -> Broken:
    """Every endpoint that takes a policy has one that says who or what it is for."""
    for name, resource in _of_type(template, "AWS::EC2::VPCEndpoint"):
        policy = resource.get("PolicyDocument")
        if policy is None and "elastic-inference" not in json.dumps(resource["ServiceName"]):
            yield name, "the endpoint has the default policy, which allows all"
        for statement in (policy or {}).get("Statement", []):
            if statement["Resource"] == "*" and "Condition" not in statement:
                yield name, "a statement is for everybody and everything"


def hosts_are_private(template: Template) -> Broken:
    """No public address, IMDSv2 at one hop, and a shutdown is the end of the host."""
    for name, resource in _of_type(template, "AWS::EC2::Subnet"):
        if resource.get("MapPublicIpOnLaunch") is not False:
            yield name, "the subnet hands out public addresses"
    for name, resource in _of_type(template, "AWS::EC2::Instance"):
        interfaces = resource.get("NetworkInterfaces", [])
        if not interfaces or any(face.get("AssociatePublicIpAddress") is not False for face in interfaces):
            yield name, "the host may get a public address"
        options = resource.get("MetadataOptions", {})
        if (options.get("HttpTokens"), options.get("HttpPutResponseHopLimit")) != ("required", 1):
            yield name, "IMDSv2 at one hop is not required"
        if resource.get("InstanceInitiatedShutdownBehavior") != "terminate":
            yield name, "the host survives its own shutdown"


def disks_are_encrypted_and_die(template: Template) -> Broken:
    """The root disk is encrypted, and goes with the host."""
    for name, resource in _of_type(template, "AWS::EC2::Instance"):
        disks = [mapping.get("Ebs", {}) for mapping in resource.get("BlockDeviceMappings", [])]
        if not disks or any(disk.get("Encrypted") is not True for disk in disks):
            yield name, "a disk is not encrypted"
        if not disks or any(disk.get("DeleteOnTermination") is not True for disk in disks):
            yield name, "a disk outlives the host"


def user_data_fits(template: Template) -> Broken:
    """User data stays under EC2's limit."""
    for name, resource in _of_type(template, "AWS::EC2::Instance"):
        script = resource["UserData"]["Fn::Base64"]
        if len(script.encode()) >= USER_DATA_BYTES:
            yield name, f"user data has {len(script.encode())} bytes"


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


RULES: tuple[Callable[[Template], Broken], ...] = (
    nothing_forbidden,
    nothing_retained,
    everything_tagged,
    ingress_from_groups_only,
    egress_is_narrow,
    actions_are_named,
    endpoints_are_restricted,
    hosts_are_private,
    disks_are_encrypted_and_die,
    user_data_fits,
    buckets_are_private,
)


def _too_large(body: str) -> Iterator[str]:
    size = len(body.encode())
    if size >= TEMPLATE_BYTES:
        yield f"the template has {size} bytes, CloudFormation takes {TEMPLATE_BYTES}"


def _of_type(template: Template, kind: str) -> Iterator[tuple[str, Resource]]:
    for name, resource in template["Resources"].items():
        if resource["Type"] == kind:
            yield name, resource.get("Properties", {})


def _statements(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        documents += [
            properties[key] for key in ("PolicyDocument", "AssumeRolePolicyDocument") if key in properties
        ]
        for document in documents:
            for statement in document["Statement"]:
                yield name, statement


def _denies_plain_http(policy: Resource) -> bool:
    return any(
        statement["Effect"] == "Deny"
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for statement in policy["PolicyDocument"]["Statement"]
    )


def _port_range(rule: dict[str, Any]) -> tuple[object, object, object]:
    return rule.get("IpProtocol"), rule.get("FromPort"), rule.get("ToPort")


def _list(value: str | list[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value
