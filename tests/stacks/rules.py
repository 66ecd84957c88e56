"""What every template of ours must hold, for the defects that no public rule pack sees.

Each rule is a pure function of one template; `violations` asks them all. The packs (cfn-lint and
others) are gates of their own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from artifacts.serve.rotation import DOOR_PORT, HEALTH_PORT
from stacks.boot import LIMIT_BYTES as USER_DATA_BYTES
from tests.stacks.service_rules import SERVICE_RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Template = dict[str, Any]
    Resource = dict[str, Any]
    Broken = Iterator[tuple[str, str]]  # a logical id, and what is wrong with it

TEMPLATE_BYTES = 51_200  # what CreateChangeSet takes without a detour through S3
TAGS = {"amazonei:deployment", "amazonei:run", "amazonei:expires-at"}
BUCKET_NAME_BYTES = 63
LAUNCHED = ("launch-template", "network-interface", "volume")
UNTAGGABLE = {
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::AutoScaling::ScalingPolicy",
    "AWS::AutoScaling::ScheduledAction",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::ManagedPolicy",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",  # its group is tagged
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
TLS = ("tcp", 443, 443)
SSH = ("tcp", 22, 22)
OF_BALANCED_HOSTS = {("tcp", port, port) for port in (DOOR_PORT, HEALTH_PORT)}
# https://docs.aws.amazon.com/service-authorization/latest/reference/ lists no resource for these.
WITHOUT_RESOURCE_LEVEL = (
    *("application-autoscaling:Describe", "autoscaling:Describe", "cloudwatch:PutMetricData"),
    *("ec2:Describe", "ec2messages:", "ecr:GetAuthorizationToken", "elasticloadbalancing:Describe"),
    "ssmmessages:",
)
# These send neither aws:SourceAccount nor aws:SourceArn when they assume a role; CloudFormation's may only
# be passed by its ARN (`pass_role_is_narrow`).
TRUSTED_WITHOUT_SOURCE = {"cloudformation.amazonaws.com", "ec2.amazonaws.com"}


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
    """What can carry a tag carries all of ours, and so does what it launches."""
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        missing = TAGS - _keys(properties.get("Tags", properties.get("ResourceTags", [])))
        if resource["Type"] == "AWS::EC2::LaunchTemplate":
            launched = properties["LaunchTemplateData"].get("TagSpecifications", [])
            tagged = {each["ResourceType"]: each["Tags"] for each in launched}
            tagged["launch-template"] = properties.get("TagSpecifications", [{}])[0].get("Tags", [])
            missing = {tag for kind in LAUNCHED for tag in TAGS - _keys(tagged.get(kind, []))}
        if resource["Type"] not in UNTAGGABLE and missing:
            yield name, f"tags missing: {', '.join(sorted(missing))}"
    for name, group in _of_type(template, "AWS::AutoScaling::AutoScalingGroup"):
        if not all(tag.get("PropagateAtLaunch") for tag in group.get("Tags", [])):
            yield name, "the group keeps tags from its hosts"


def ingress_from_groups_only(template: Template) -> Broken:
    """Who may enter is another group, or for SSH and for a balancer somebody who is not the world."""
    balancers = _groups_of_balancers(template)
    for name, resource in _of_type(template, "AWS::EC2::SecurityGroup"):
        if resource.get("SecurityGroupIngress"):
            yield name, "ingress is written into the group"
    for name, resource in _of_type(template, "AWS::EC2::SecurityGroupIngress"):
        ports, source = _port_range(resource), json.dumps(resource.get("SourceSecurityGroupId"))
        wanted = OF_BALANCED_HOSTS if source in balancers else {TLS}
        from_group = source != "null" and ports in wanted
        to_balancer = ports == TLS and json.dumps(resource.get("GroupId")) in balancers
        if not from_group and not (_is_narrow(resource) and (ports == SSH or to_balancer)):
            yield name, "ingress is something else than TLS from a group"


def _is_narrow(rule: Resource) -> bool:
    block = rule.get("CidrIp") or rule.get("CidrIpv6")
    return block is not None and ip_network(block).prefixlen >= 8


def _groups_of_balancers(template: Template) -> set[str]:
    return {
        json.dumps(group)
        for _, balancer in _of_type(template, "AWS::ElasticLoadBalancingV2::LoadBalancer")
        for group in balancer.get("SecurityGroups", [])
    }


def balancers_are_internal(template: Template) -> Broken:
    """A balancer is in our subnets and groups, speaks TLS alone, and sends only to who is in rotation."""
    for name, balancer in _of_type(template, "AWS::ElasticLoadBalancingV2::LoadBalancer"):
        if balancer.get("Scheme") != "internal" or not balancer.get("SecurityGroups"):
            yield name, "the balancer may be reached from the internet, or by anybody in the VPC"
    for name, listener in _of_type(template, "AWS::ElasticLoadBalancingV2::Listener"):
        secure = str(listener.get("SslPolicy")).startswith("ELBSecurityPolicy-TLS13-1-2")
        if (listener.get("Protocol"), listener.get("Port")) != ("HTTPS", 443) or not secure:
            yield name, "the balancer speaks something else than TLS of today"
    for name, group in _of_type(template, "AWS::ElasticLoadBalancingV2::TargetGroup"):
        asked = (group.get("HealthCheckEnabled"), group.get("HealthCheckPort"), group.get("HealthCheckPath"))
        if asked != (True, str(HEALTH_PORT), "/"):
            yield name, "requests reach hosts that are not in rotation"


def egress_is_narrow(template: Template) -> Broken:
    """Every group says where it may talk to, and it is never everywhere."""
    for name, resource in _of_type(template, "AWS::EC2::SecurityGroup"):
        rules = resource.get("SecurityGroupEgress", [])
        if not rules:
            yield name, "without an egress rule AWS allows all"
        for rule in rules:
            to_hosts = "DestinationSecurityGroupId" in rule and _port_range(rule) in OF_BALANCED_HOSTS
            to_world = {rule.get("CidrIp"), rule.get("CidrIpv6")} & WORLD
            if (_port_range(rule) != TLS and not to_hosts) or to_world:
                yield name, "egress is wider than TLS to a known place"
    for name, _ in _of_type(template, "AWS::EC2::SecurityGroupEgress"):
        yield name, "egress is written outside of its group"


def actions_are_named(template: Template) -> Broken:
    """No policy that allows something has a wildcard in its actions."""
    for name, statement in _statements(template):
        wildcards = [action for action in _list(statement.get("Action")) if "*" in action]
        if statement["Effect"] == "Allow" and (wildcards or "NotAction" in statement):
            yield name, f"allows by wildcard: {', '.join(wildcards) or 'NotAction'}"


def resources_are_named(template: Template) -> Broken:
    """Nothing is allowed on everything where AWS lets a resource be named."""
    for name, statement in _statements(template):
        # An endpoint's policy names a principal: `endpoints_are_restricted` holds it to its callers.
        allows = statement["Effect"] == "Allow" and "Principal" not in statement
        if not allows or "*" not in _list(statement.get("Resource")):
            continue
        actions = _list(statement.get("Action"))
        if loose := [action for action in actions if not action.startswith(WITHOUT_RESOURCE_LEVEL)]:
            yield name, f"allowed on everything: {', '.join(loose)}"


def trust_names_its_source(template: Template) -> Broken:
    """A service assumes a role for this account only."""
    for name, role in _of_type(template, "AWS::IAM::Role"):
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            services = set(_list(statement.get("Principal", {}).get("Service")))
            condition = json.dumps(statement.get("Condition", {}))
            if services - TRUSTED_WITHOUT_SOURCE and "aws:SourceAccount" not in condition:
                yield name, f"{', '.join(sorted(services))} may assume the role for anybody"


def groups_end(template: Template) -> Broken:
    """A group replaces hosts that power off, so it has to be told when to end."""
    ends = [
        action["AutoScalingGroupName"]["Ref"]
        for _, action in _of_type(template, "AWS::AutoScaling::ScheduledAction")
        if (action["StartTime"], action["MinSize"], action["MaxSize"], action["DesiredCapacity"])
        == ({"Ref": "ExpiresAt"}, 0, 0, 0)
    ]
    for name, _ in _of_type(template, "AWS::AutoScaling::AutoScalingGroup"):
        if name not in ends:
            yield name, "nothing ends the group"
        if "Default" in template["Parameters"]["ExpiresAt"]:
            yield name, "the group may be made without an end"


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
    for name, host in _hosts(template):
        interfaces = host.get("NetworkInterfaces", [])
        if not interfaces or any(face.get("AssociatePublicIpAddress") is not False for face in interfaces):
            yield name, "the host may get a public address"
        options = host.get("MetadataOptions", {})
        if (options.get("HttpTokens"), options.get("HttpPutResponseHopLimit")) != ("required", 1):
            yield name, "IMDSv2 at one hop is not required"
        if host.get("InstanceInitiatedShutdownBehavior") != "terminate":
            yield name, "the host survives its own shutdown"
        if host.get("Monitoring") not in (True, {"Enabled": True}):
            yield name, "the host is measured every five minutes only"


def disks_are_encrypted_and_die(template: Template) -> Broken:
    """The root disk is encrypted, and goes with the host."""
    for name, host in _hosts(template):
        disks = [mapping.get("Ebs", {}) for mapping in host.get("BlockDeviceMappings", [])]
        if not disks or any(disk.get("Encrypted") is not True for disk in disks):
            yield name, "a disk is not encrypted"
        if not disks or any(disk.get("DeleteOnTermination") is not True for disk in disks):
            yield name, "a disk outlives the host"


def user_data_fits(template: Template) -> Broken:
    """User data stays under EC2's limit."""
    for name, host in _hosts(template):
        if (size := _bytes_of(host["UserData"]["Fn::Base64"])) >= USER_DATA_BYTES:
            yield name, f"user data has {size} bytes"


RULES: tuple[Callable[[Template], Broken], ...] = (
    nothing_forbidden,
    nothing_retained,
    everything_tagged,
    ingress_from_groups_only,
    egress_is_narrow,
    actions_are_named,
    resources_are_named,
    trust_names_its_source,
    groups_end,
    balancers_are_internal,
    endpoints_are_restricted,
    hosts_are_private,
    disks_are_encrypted_and_die,
    user_data_fits,
    *SERVICE_RULES,
)


def _too_large(body: str) -> Iterator[str]:
    if (size := len(body.encode())) >= TEMPLATE_BYTES:
        yield f"the template has {size} bytes, CloudFormation takes {TEMPLATE_BYTES}"


def _of_type(template: Template, kind: str) -> Iterator[tuple[str, Resource]]:
    for name, resource in template["Resources"].items():
        if resource["Type"] == kind:
            yield name, resource.get("Properties", {})


def _hosts(template: Template) -> Iterator[tuple[str, Resource]]:
    """Yield everything that hosts are launched from."""
    yield from _of_type(template, "AWS::EC2::Instance")
    for name, resource in _of_type(template, "AWS::EC2::LaunchTemplate"):
        yield name, resource["LaunchTemplateData"]


def _bytes_of(text: str | dict[str, Any]) -> int:
    """Return the most bytes a text may have; a reference in it is the name of a bucket."""
    parts = [text] if isinstance(text, str) else text["Fn::Join"][1]
    return sum(len(part.encode()) if isinstance(part, str) else BUCKET_NAME_BYTES for part in parts)


def _keys(tags: list[dict[str, Any]]) -> set[str]:
    return {tag["Key"] for tag in tags}


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


def _port_range(rule: dict[str, Any]) -> tuple[object, object, object]:
    return rule.get("IpProtocol"), rule.get("FromPort"), rule.get("ToPort")


def _list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []
