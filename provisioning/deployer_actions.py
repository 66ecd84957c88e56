"""Which calls deploying takes: our own, and those CloudFormation makes in the caller's name.

`DIRECT` is held to the source of the AWS edge by a test. CloudFormation's are what AWS's registry schemas
name for each resource type, less those of features that no template of ours uses (`NOT_USED`).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from provisioning.registry import handler_permissions
from stacks.node import prepare_node

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The tool's own calls: a resource pattern ("{name}" is the deployment) and the actions on it.
DIRECT: Mapping[str, tuple[str, ...]] = {
    "*": (
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:DescribeInstanceRefreshes",
        "cloudformation:DescribeStacks",
        *(
            f"ec2:Describe{kind}"
            for kind in (
                *("AvailabilityZones", "Images", "InstanceTypeOfferings", "InstanceTypes", "Instances"),
                *("KeyPairs", "LaunchTemplates"),
                *("ManagedPrefixLists", "NetworkInterfaces", "Regions", "RouteTables", "SecurityGroups"),
                *("Snapshots", "Subnets", "Volumes", "VpcAttribute", "VpcEndpoints", "Vpcs"),
            )
        ),
        *(
            f"elasticloadbalancing:Describe{kind}"
            for kind in ("LoadBalancers", "Tags", "TargetGroups", "TargetHealth")
        ),
        *("iam:ListInstanceProfiles", "iam:ListPolicies", "iam:ListRoles"),
        *("kms:ListKeys", "logs:DescribeLogGroups", "s3:ListAllMyBuckets", "scheduler:ListScheduleGroups"),
        *(
            f"sagemaker:List{kind}"
            for kind in ("EndpointConfigs", "Endpoints", "Models", "NotebookInstances")
        ),
        *("servicequotas:GetAWSDefaultServiceQuota", "servicequotas:GetServiceQuota"),
        "sqs:ListQueues",
        "ssm:CancelCommand",
        "ssm:DescribeInstanceInformation",
        "ssm:DescribeParameters",
        "ssm:GetCommandInvocation",
        "ssm:ListCommandInvocations",
        "ssm:ListCommands",
        "ssm:ListDocuments",
    ),
    "cloudformation:stack/{name}*": (
        *("cloudformation:CreateChangeSet", "cloudformation:DeleteChangeSet", "cloudformation:DeleteStack"),
        *("cloudformation:DescribeChangeSet", "cloudformation:DescribeStackEvents"),
        *("cloudformation:ExecuteChangeSet", "cloudformation:ListChangeSets"),
        "cloudformation:ListStackResources",
    ),
    "autoscaling:autoScalingGroup:*": ("autoscaling:StartInstanceRefresh",),
    "elasticloadbalancing:loadbalancer/app/*": ("elasticloadbalancing:DeleteLoadBalancer",),
    "elasticloadbalancing:targetgroup/*": ("elasticloadbalancing:DeleteTargetGroup",),
    "ec2:vpc/*": ("ec2:CreateTags", "ec2:DeleteTags", "ec2:ModifyVpcAttribute"),
    "ec2:vpc-endpoint/*": ("ec2:CreateTags", "ec2:DeleteTags", "ec2:ModifyVpcEndpoint"),
    # Whose a thing is only its tags tell, so everybody's are read.
    "s3:*": ("s3:GetBucketTagging",),
    "kms:key/*": ("kms:DescribeKey", "kms:ListResourceTags"),
    "scheduler:schedule-group/*": ("scheduler:ListTagsForResource",),
    "sqs:*": ("sqs:ListQueueTags",),
    "sqs:{name}-*": ("sqs:ReceiveMessage",),
    "budgets::budget/*": ("budgets:ViewBudget",),
    "s3:{name}-*": (
        "s3:DeleteBucket",
        "s3:ListBucket",
        "s3:ListBucketMultipartUploads",
        "s3:ListBucketVersions",
    ),
    "s3:{name}-*/*": (
        *("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject"),
        "s3:PutObject",
    ),
    "sagemaker:*": ("sagemaker:ListTags",),
    # On instances as well, where they carry the deployment's tag: see `_conditional`.
    "ssm:document/hosts-of-{name}*": ("ssm:SendCommand",),
    # With the deployment's hosts only, and roles end what they started by a tag: see `_conditional`.
    # https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-restrict-access-examples.html
    "ssm::document/AWS-StartPortForwardingSession": ("ssm:StartSession",),
    "ssm:session/${{aws:username}}-*": ("ssm:TerminateSession",),
    # The session manager plugin's, with the credentials of who started it:
    # https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-restrict-access-quickstart.html
    "ssm:session/${{aws:userid}}-*": ("ssmmessages:OpenDataChannel",),
    "ssm::parameter/aws/service/*": ("ssm:GetParameter", "ssm:GetParameters"),
}
# sts:GetCallerIdentity needs no permission.
# The same for a deployment that has endpoints.
WITH_ENDPOINTS: Mapping[str, tuple[str, ...]] = {
    "sagemaker:endpoint/{name}-*": ("sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint"),
    "sagemaker:endpoint-config/*": ("sagemaker:DescribeEndpointConfig",),
    "logs:log-group:/aws/sagemaker/Endpoints/{name}-*": ("logs:DescribeLogStreams", "logs:GetLogEvents"),
}
# The same on the certificates of a deployment that has load balancers.
ON_CERTIFICATES = ("acm:DescribeCertificate",)

# The guard's own types, which it does not delete itself.
GUARD_RESOURCES: Mapping[str, tuple[str, ...]] = {
    "AWS::Budgets::Budget": ("budgets::budget/{name}*",),
    "AWS::SQS::Queue": ("sqs:{name}-*",),
    "AWS::SQS::QueuePolicy": ("sqs:{name}-*",),
    "AWS::Scheduler::Schedule": ("scheduler:schedule/{name}-guard/*",),
    "AWS::Scheduler::ScheduleGroup": (
        "scheduler:schedule-group/{name}-guard",
        "scheduler:schedule/{name}-guard/*",
    ),
}

HANDLERS = ("create", "read", "update", "delete")
# CloudFormation's schemas name what a type can need at most; these are for what no template of ours has.
NOT_USED = (
    *("lambda:*", "firehose:*", "s3:REST.*"),  # one schema for all that can be scaled, or take logs
    *("vpc-lattice:*", "vpce:*", "managed-fleets:*", "cloudwatch:*", "cognito-idp:*", "s3tables:*"),
    # A group registers its hosts itself, with a role of AWS's own.
    *("elasticloadbalancing:*CapacityReservation", "elasticloadbalancing:*registerTargets"),
    *("elasticloadbalancing:RegisterTargets", "elasticloadbalancing:ModifyIpPools"),
    *("elasticloadbalancing:SetIpAddressType", "elasticloadbalancing:*ListenerAttributes"),
    *("autoscaling:*LoadBalancers", "autoscaling:*TrafficSources"),
    *("autoscaling:*InstanceRefresh", "autoscaling:*Hook"),
    *("autoscaling:*Processes", "autoscaling:*Metrics*", "autoscaling:*NotificationConfiguration"),
    *(
        "ec2:*Volume",
        "ec2:*CidrBlock",
        "ec2:*EncryptionControl*",
        "ec2:*IpamPools",
        "ec2:ModifyVpcTenancy",
        "ec2:DescribeNetworkAcls",
    ),
    *(
        "ec2:ModifyInstance*",
        "ec2:ModifyPrivateDnsNameOptions",
        "ec2:*monitorInstances",
        "ec2:MonitorInstances",
    ),
    *("ec2:UnmonitorInstances", "ec2:StartInstances", "ec2:StopInstances", "ec2:*IamInstanceProfile*"),
    *(
        "ec2:ReplaceRouteTableAssociation",
        "ec2:UpdateSecurityGroupRuleDescriptions*",
        "ec2:Get*",
        "ssm:Get[!DP]*",
    ),
    *(
        "ssm:*Association*",
        "iam:UpdateRoleDescription",
        # Policies are attached to roles alone, and none is inside of one.
        *("iam:*GroupPolicy", "iam:*UserPolicy"),
        *("iam:DeleteRolePolicy", "iam:GetRolePolicy", "iam:PutRolePolicy"),
        "s3:*Acl",
        "s3:*Abac",
        "s3:*Accelerate*",
        "s3:*Analytics*",
    ),
    *("s3:*Intelligent*", "s3:*Inventory*", "s3:*Metrics*", "s3:*Replication*", "s3:*Website", "s3:*CORS"),
    *(
        "s3:*Cors",
        "s3:*Logging",
        "s3:*Notification",
        "s3:*ObjectLock*",
        "s3:*Metadata*",
        "s3:DeleteBucketEncryption",
    ),
    *("s3:DeleteBucketLifecycle", "s3:ListTagsForResource", "s3:TagResource", "s3:UntagResource"),
)
# Where a schema says "all that begin with", these are the ones.
SPELLED_OUT: Mapping[str, tuple[str, ...]] = {
    "autoscaling:Describe*": (
        *("autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeScalingActivities"),
        "autoscaling:DescribeScheduledActions",
    ),
    # What a balanced group looks at, the types of its balancer are granted.
    "elasticloadbalancing:Describe*": (),
    "ec2:Describe*": (
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:DescribeLaunchTemplates",
        "ec2:DescribeSubnets",
    ),
}


def resources_of(type_name: str) -> tuple[str, ...]:
    """Return what resources of a type are called, as "service:pattern"; raise `KeyError` for a new type."""
    prepare_node()
    from stacks.deletion import DELETIONS

    own = GUARD_RESOURCES.get(type_name) or DELETIONS[type_name].resources
    return tuple(pattern.replace("s3:::", "s3:") for pattern in own)


def stack_actions(types: Iterable[str], region: str) -> Mapping[str, frozenset[str]]:
    """Return what CloudFormation calls to make, change, read and delete each type, exactly."""
    return {name: frozenset(_needed(name, region)) for name in types}


def _needed(type_name: str, region: str) -> Iterable[str]:
    # Another service's actions are for features: attachments of documents, alarms of groups.
    services = {"ec2", "iam", *(pattern.partition(":")[0] for pattern in resources_of(type_name))}
    handlers = handler_permissions(type_name, region)
    for action in (action for kind in HANDLERS for action in handlers.get(kind, ())):
        for exact in SPELLED_OUT.get(action, (action,)):
            used = not any(fnmatchcase(exact, pattern) for pattern in NOT_USED)
            if used and exact.partition(":")[0] in services:
                yield exact
