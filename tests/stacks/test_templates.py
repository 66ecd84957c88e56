from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from artifacts.serve.document import host_document
from stacks.synth import SynthesizedStack, TemplateParameter, synthesize
from tests.stacks.rules import violations
from tests.stacks.specs import EXISTING, IDENTITY, KEY, SPECS, described

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Deployments = Mapping[str, tuple[SynthesizedStack, ...]]


def resources(stack: SynthesizedStack, kind: str) -> Iterator[dict[str, Any]]:
    for resource in json.loads(stack.body)["Resources"].values():
        if resource["Type"] == kind:
            yield resource["Properties"]


def parameters(stack: SynthesizedStack) -> dict[str, TemplateParameter]:
    return {parameter.name: parameter for parameter in stack.parameters}


def test_no_template_breaks_a_rule_of_ours(deployment: tuple[SynthesizedStack, ...]) -> None:
    assert [violation for stack in deployment for violation in violations(stack.body)] == []


def test_the_same_spec_gives_the_same_bytes(deployments: Deployments) -> None:
    assert synthesize(SPECS["three"]) == deployments["three"]


def test_one_accelerator_is_one_stack_with_everything(deployments: Deployments) -> None:
    (stack,) = deployments["cpu"]
    assert stack.name == "amazonei"
    assert stack.hosts == SPECS["cpu"].hosts
    outputs = json.loads(stack.body)["Outputs"]
    assert set(outputs) == {"ArtifactBucket", "DocumentName", "VpcId", "InstanceIds"}


def test_several_accelerators_share_a_foundation_that_is_deployed_first(deployments: Deployments) -> None:
    foundation, *hosts = deployments["three"]
    assert foundation.name == "resnet-bench"
    assert foundation.hosts == ()
    assert not list(resources(foundation, "AWS::EC2::Instance"))
    assert {stack.name: [host.accelerator for host in stack.hosts] for stack in hosts} == {
        "resnet-bench-c7i-xlarge": ["c7i.xlarge"],
        "resnet-bench-inf2-xlarge": ["inf2.xlarge"],
        "resnet-bench-eia2-medium": ["eia2.medium"],
    }


def test_what_host_stacks_import_the_foundation_exports(deployments: Deployments) -> None:
    foundation, *hosts = deployments["three"]
    exports = {
        output["Export"]["Name"]
        for output in json.loads(foundation.body)["Outputs"].values()
        if "Export" in output
    }
    imports = {
        name
        for host in hosts
        for name in host.body.split('"')
        if name.startswith("resnet-bench:ExportsOutput")
    }
    assert imports == exports


def test_what_only_the_account_knows_is_a_parameter(deployments: Deployments) -> None:
    (stack,) = deployments["inferentia"]
    assert {name: parameter.default for name, parameter in parameters(stack).items()} == {
        "RunId": "cdk",
        "ExpiresAt": "never",
        "FirstZone": "",
        "SecondZone": "",
        "S3PrefixListId": "pl-68a54001",
        "ImageId": "/aws/service/neuron/dlami/pytorch-2.9/ubuntu-24.04/latest/image_id",
        "RootDeviceName": "/dev/sda1",
        "HostZone": "first",
    }
    assert parameters(stack)["ImageId"].type == "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"


def test_a_region_whose_prefix_list_no_source_names_has_to_be_told() -> None:
    (stack,) = synthesize(described("c7i.xlarge", region="mx-central-1"))
    assert parameters(stack)["S3PrefixListId"].default is None


def test_hosts_leave_through_tls_to_the_endpoints_and_to_s3_only(deployments: Deployments) -> None:
    (stack,) = deployments["cpu"]
    groups = {group["GroupDescription"]: group for group in resources(stack, "AWS::EC2::SecurityGroup")}
    leaving = groups["Hosts: nothing in, TLS to the endpoints and to S3"]["SecurityGroupEgress"]
    assert [set(rule) & {"DestinationSecurityGroupId", "DestinationPrefixListId"} for rule in leaving] == [
        {"DestinationSecurityGroupId"},
        {"DestinationPrefixListId"},
    ]
    assert leaving[1]["DestinationPrefixListId"] == {"Ref": "S3PrefixListId"}


def test_hosts_wait_for_every_door_they_need_at_boot(deployments: Deployments) -> None:
    (stack,) = deployments["cpu"]
    template = json.loads(stack.body)["Resources"]
    needed = {"AWS::EC2::VPCEndpoint", "AWS::EC2::SubnetRouteTableAssociation", "AWS::IAM::ManagedPolicy"}
    doors = {name for name, resource in template.items() if resource["Type"] in needed}
    (host,) = (resource for resource in template.values() if resource["Type"] == "AWS::EC2::Instance")
    assert set(host["DependsOn"]) == doors
    assert len(doors) == 6


def test_an_elastic_inference_host_may_connect_and_has_its_endpoint(deployments: Deployments) -> None:
    (stack,) = deployments["elastic-inference"]
    (host,) = resources(stack, "AWS::EC2::Instance")
    assert host["InstanceType"] == "m5.xlarge"
    assert host["ElasticInferenceAccelerators"] == [{"Type": "eia2.medium", "Count": 1}]
    (policy,) = resources(stack, "AWS::IAM::ManagedPolicy")
    statements = policy["PolicyDocument"]["Statement"]
    (connect,) = (s for s in statements if s["Action"] == "elastic-inference:Connect")
    assert connect["Resource"]["Fn::Join"][1][-1] == ":elastic-inference-accelerator/*"
    services = [json.dumps(door["ServiceName"]) for door in resources(stack, "AWS::EC2::VPCEndpoint")]
    assert sum("elastic-inference.runtime" in service for service in services) == 1


def test_other_hosts_may_not_connect_to_elastic_inference(deployments: Deployments) -> None:
    by_name = {stack.name: stack for stack in deployments["three"]}
    assert "elastic-inference:Connect" not in by_name["resnet-bench-inf2-xlarge"].body
    assert "elastic-inference:Connect" in by_name["resnet-bench-eia2-medium"].body


def test_a_host_reads_artifacts_and_writes_results_and_nothing_else_in_s3(deployments: Deployments) -> None:
    (stack,) = deployments["cpu"]
    (role,) = resources(stack, "AWS::IAM::Role")
    (policy,) = resources(stack, "AWS::IAM::ManagedPolicy")
    statements = policy["PolicyDocument"]["Statement"]
    of_s3 = {each["Action"]: each for each in statements if "s3:" in json.dumps(each["Action"])}
    listing = of_s3.pop("s3:ListBucket")
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "artifacts/pieces/*"}}
    allowed = {action: each["Resource"]["Fn::Join"][1][1] for action, each in of_s3.items()}
    assert allowed == {"s3:GetObject": "/artifacts/*", "s3:PutObject": "/results/*"}
    assert role["Path"] == policy["Path"] == "/amazonei/amazonei/us-west-2/"
    assert "Policies" not in role
    assert [next(iter(holder)) for holder in policy["Roles"]] == ["Ref"]


def test_the_bucket_empties_itself_a_week_after_the_expiry_and_keeps_no_marks(
    deployments: Deployments,
) -> None:
    (stack,) = deployments["cpu"]  # of eight hours: one day, rounded up
    (bucket,) = resources(stack, "AWS::S3::Bucket")
    leftovers, everything = bucket["LifecycleConfiguration"]["Rules"]
    assert everything == {"ExpirationInDays": 8, "Id": "forget-everything", "Status": "Enabled"}
    # With a number of days beside it the mark of a deletion would stay for as many days.
    assert leftovers["ExpiredObjectDeleteMarker"] is True
    assert "ExpirationInDays" not in leftovers


def test_the_document_is_the_hosts_own(deployments: Deployments) -> None:
    (stack,) = deployments["cpu"]
    (document,) = resources(stack, "AWS::SSM::Document")
    assert document["Content"] == host_document()
    assert document["UpdateMethod"] == "NewVersion"


def test_the_document_has_no_name_that_systems_manager_reserves(deployments: Deployments) -> None:
    (stack,) = deployments["cpu"]
    (document,) = resources(stack, "AWS::SSM::Document")
    assert stack.name.startswith("amazon"), "what CloudFormation would begin the name with"
    assert document["Name"] == "hosts-of-amazonei"


def test_an_existing_vpc_is_taken_as_it_is(deployments: Deployments) -> None:
    (stack,) = deployments["existing-vpc"]
    assert not list(resources(stack, "AWS::EC2::VPC"))
    assert not {"FirstZone", "SecondZone"} & set(parameters(stack))
    doors = list(resources(stack, "AWS::EC2::VPCEndpoint"))
    assert {door["VpcEndpointType"] for door in doors} == {"Interface"}
    assert all(door["VpcId"] == "vpc-0a1b2c3d" and door["SubnetIds"] == ["subnet-0b2c3d4e"] for door in doors)


def test_endpoints_that_are_there_are_used_and_let_the_hosts_in(deployments: Deployments) -> None:
    (stack,) = deployments["reused-endpoints"]
    assert not list(resources(stack, "AWS::EC2::VPCEndpoint"))
    (hosts,) = resources(stack, "AWS::EC2::SecurityGroup")
    assert hosts["SecurityGroupEgress"][0]["DestinationSecurityGroupId"] == "sg-0a1b2c3d"
    (ingress,) = resources(stack, "AWS::EC2::SecurityGroupIngress")
    assert ingress["GroupId"] == "sg-0a1b2c3d"
    assert "SourceSecurityGroupId" in ingress


def test_an_accounts_own_rules_bound_the_roles_and_their_path(deployments: Deployments) -> None:
    (stack,) = deployments["strict-account"]
    (role,) = resources(stack, "AWS::IAM::Role")
    assert role["PermissionsBoundary"] == IDENTITY["permissions_boundary"]
    (profile,) = resources(stack, "AWS::IAM::InstanceProfile")
    assert (role["Path"], profile["Path"]) == ("/teams/amazonei/amazonei/us-west-2/",) * 2
    assert ":role/teams/amazonei/amazonei/us-west-2/*" in stack.body


def test_a_key_of_the_accounts_own_encrypts_the_bucket_and_hosts_use_it_through_s3_only(
    deployments: Deployments,
) -> None:
    (stack,) = deployments["strict-account"]
    (bucket,) = resources(stack, "AWS::S3::Bucket")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule == {
        "BucketKeyEnabled": True,
        "ServerSideEncryptionByDefault": {"KMSMasterKeyID": KEY, "SSEAlgorithm": "aws:kms"},
    }
    (policy,) = resources(stack, "AWS::IAM::ManagedPolicy")
    statements = policy["PolicyDocument"]["Statement"]
    (use,) = [each for each in statements if each.get("Sid") == "UseKeyThroughS3"]
    assert (use["Resource"], use["Action"]) == (KEY, ["kms:Decrypt", "kms:GenerateDataKey"])
    assert "kms:ViaService" in use["Condition"]["StringEquals"]


def test_ssh_is_open_to_the_stated_addresses_and_to_nobody_by_default(deployments: Deployments) -> None:
    (stack,) = deployments["strict-account"]
    opened = [rule for rule in resources(stack, "AWS::EC2::SecurityGroupIngress") if rule["FromPort"] == 22]
    assert [(rule["CidrIp"], rule["ToPort"]) for rule in opened] == [("10.1.2.0/24", 22)]
    (host,) = resources(stack, "AWS::EC2::Instance")
    assert host["KeyName"] == "mine"
    (closed,) = deployments["cpu"]
    assert [rule["FromPort"] for rule in resources(closed, "AWS::EC2::SecurityGroupIngress")] == [443]


def test_known_route_tables_bring_the_gateway_to_an_existing_vpc() -> None:
    network = {**EXISTING, "route_table_ids": ["rtb-0c3d4e5f"]}
    (stack,) = synthesize(described("c7i.xlarge", network=network))
    gateways = [
        door for door in resources(stack, "AWS::EC2::VPCEndpoint") if door["VpcEndpointType"] == "Gateway"
    ]
    assert [gateway["RouteTableIds"] for gateway in gateways] == [["rtb-0c3d4e5f"]]
