"""The table of finders: one per kind, over every type our templates create, with what removes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioning import balancers, guard_searches, searches
from provisioning.aws.ec2_inventory import Ec2Inventory
from provisioning.aws.iam import Iam
from provisioning.aws.sagemaker import SageMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from provisioning.aws import Aws
    from provisioning.searches import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Finder:
    """How one kind of resource is looked for, the CloudFormation types that covers, and what removes it."""

    kind: str
    types: tuple[str, ...]
    find: Callable[[Aws, str | None], Iterable[Found]]
    remedy: str
    in_all_regions: bool = False


TEARDOWN = "amazonei teardown --name {deployment}"

FINDERS = (
    Finder(
        kind="stack",
        types=("AWS::CloudFormation::Stack",),
        find=searches.stacks,
        remedy=TEARDOWN,
    ),
    Finder(
        kind="host group",
        # An action and a policy live and die with their group.
        types=(
            "AWS::AutoScaling::AutoScalingGroup",
            "AWS::AutoScaling::ScalingPolicy",
            "AWS::AutoScaling::ScheduledAction",
        ),
        find=searches.groups,
        remedy="aws autoscaling delete-auto-scaling-group --force-delete --auto-scaling-group-name {id}",
    ),
    Finder(
        kind="load balancer",
        # A listener lives and dies with its balancer.
        types=("AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::ElasticLoadBalancingV2::Listener"),
        find=balancers.load_balancers,
        remedy=TEARDOWN,
    ),
    Finder(
        kind="target group",
        types=("AWS::ElasticLoadBalancingV2::TargetGroup",),
        find=balancers.target_groups,
        remedy=TEARDOWN,
    ),
    Finder(
        kind="repaired network",
        types=(),
        find=searches.repairs,
        remedy=TEARDOWN,
    ),
    Finder(
        kind="instance",
        types=("AWS::EC2::Instance",),
        find=searches.instances,
        remedy="aws ec2 terminate-instances --instance-ids {id}",
    ),
    Finder(
        kind="volume",
        types=("AWS::EC2::Volume", "AWS::EC2::VolumeAttachment"),
        find=searches.ec2(Ec2Inventory.volumes),
        remedy="aws ec2 delete-volume --volume-id {id}",
    ),
    Finder(
        kind="snapshot",
        types=(),
        find=searches.ec2(Ec2Inventory.snapshots),
        remedy="aws ec2 delete-snapshot --snapshot-id {id}",
    ),
    Finder(
        kind="launch template",
        types=("AWS::EC2::LaunchTemplate",),
        find=searches.ec2(Ec2Inventory.launch_templates),
        remedy="aws ec2 delete-launch-template --launch-template-id {id}",
    ),
    Finder(
        kind="VPC endpoint",
        types=("AWS::EC2::VPCEndpoint",),
        find=searches.ec2(Ec2Inventory.vpc_endpoints),
        remedy="aws ec2 delete-vpc-endpoints --vpc-endpoint-ids {id}",
    ),
    Finder(
        kind="network interface",
        types=("AWS::EC2::NetworkInterface",),
        find=searches.ec2(Ec2Inventory.network_interfaces),
        remedy="aws ec2 delete-network-interface --network-interface-id {id}",
    ),
    Finder(
        kind="security group",
        # Rules live and die with their group.
        types=(
            "AWS::EC2::SecurityGroup",
            "AWS::EC2::SecurityGroupIngress",
            "AWS::EC2::SecurityGroupEgress",
        ),
        find=searches.ec2(Ec2Inventory.security_groups),
        remedy="aws ec2 delete-security-group --group-id {id}",
    ),
    Finder(
        kind="subnet",
        types=("AWS::EC2::Subnet",),
        find=searches.ec2(Ec2Inventory.subnets),
        remedy="aws ec2 delete-subnet --subnet-id {id}",
    ),
    Finder(
        kind="route table",
        types=("AWS::EC2::RouteTable", "AWS::EC2::Route", "AWS::EC2::SubnetRouteTableAssociation"),
        find=searches.ec2(Ec2Inventory.route_tables),
        remedy="aws ec2 delete-route-table --route-table-id {id}",
    ),
    Finder(
        kind="VPC",
        types=("AWS::EC2::VPC",),
        find=searches.ec2(Ec2Inventory.vpcs),
        remedy="aws ec2 delete-vpc --vpc-id {id}",
    ),
    Finder(
        kind="bucket",
        types=("AWS::S3::Bucket", "AWS::S3::BucketPolicy"),
        find=searches.find_buckets,
        remedy=TEARDOWN,
    ),
    Finder(
        kind="document",
        types=("AWS::SSM::Document",),
        find=searches.documents,
        remedy="aws ssm delete-document --name {id}",
    ),
    Finder(
        kind="parameter",
        types=("AWS::SSM::Parameter",),
        find=searches.parameters,
        remedy="aws ssm delete-parameter --name {id}",
    ),
    Finder(
        kind="log group",
        types=("AWS::Logs::LogGroup",),
        find=searches.log_groups,
        remedy="aws logs delete-log-group --log-group-name {id}",
    ),
    Finder(
        kind="SageMaker endpoint",
        # What scales it is deregistered with it.
        types=(
            "AWS::SageMaker::Endpoint",
            "AWS::ApplicationAutoScaling::ScalableTarget",
            "AWS::ApplicationAutoScaling::ScalingPolicy",
        ),
        find=searches.sagemaker(SageMaker.endpoints),
        remedy="aws sagemaker delete-endpoint --endpoint-name {id}",
    ),
    Finder(
        kind="SageMaker endpoint configuration",
        types=("AWS::SageMaker::EndpointConfig",),
        find=searches.sagemaker(SageMaker.endpoint_configs),
        remedy="aws sagemaker delete-endpoint-config --endpoint-config-name {id}",
    ),
    Finder(
        kind="SageMaker model",
        types=("AWS::SageMaker::Model",),
        find=searches.sagemaker(SageMaker.models),
        remedy="aws sagemaker delete-model --model-name {id}",
    ),
    Finder(
        kind="SageMaker notebook",
        types=("AWS::SageMaker::NotebookInstance",),
        find=searches.sagemaker(SageMaker.notebooks),
        remedy="aws sagemaker delete-notebook-instance --notebook-instance-name {id}",
    ),
    Finder(
        kind="schedule group",
        types=("AWS::Scheduler::ScheduleGroup", "AWS::Scheduler::Schedule"),
        find=guard_searches.schedule_groups,
        remedy="aws scheduler delete-schedule-group --name {id}",
    ),
    Finder(
        kind="deletion that failed, of stack",
        types=(),
        find=guard_searches.failed_deletions,
        remedy=TEARDOWN,
    ),
    Finder(
        kind="queue",
        types=("AWS::SQS::Queue", "AWS::SQS::QueuePolicy"),
        find=guard_searches.queues,
        remedy="aws sqs delete-queue --queue-url {id}",
    ),
    Finder(
        kind="key",
        types=("AWS::KMS::Key",),
        find=guard_searches.keys,
        remedy="aws kms schedule-key-deletion --key-id {id}",
    ),
    Finder(
        kind="budget",
        types=("AWS::Budgets::Budget",),
        find=guard_searches.budgets,
        remedy="aws budgets delete-budget --account-id ACCOUNT --budget-name {id}",
    ),
    Finder(
        kind="instance profile",
        types=("AWS::IAM::InstanceProfile",),
        find=searches.iam(Iam.instance_profiles, lambda record: record.name),
        remedy="aws iam delete-instance-profile --instance-profile-name {id}",
        in_all_regions=True,
    ),
    Finder(
        kind="role",
        types=("AWS::IAM::Role", "AWS::IAM::Policy"),  # a Policy is part of its role
        find=searches.iam(Iam.roles, lambda record: record.name),
        remedy="aws iam delete-role --role-name {id}",
        in_all_regions=True,
    ),
    Finder(
        kind="policy",
        types=("AWS::IAM::ManagedPolicy",),
        find=searches.iam(Iam.policies, lambda record: record.arn),
        remedy="aws iam delete-policy --policy-arn {id}",
        in_all_regions=True,
    ),
)

COVERED_TYPES = frozenset(name for finder in FINDERS for name in finder.types)
