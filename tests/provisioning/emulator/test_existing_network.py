"""The scenario of the old setup script, retold: an existing network with everything wrong about it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from provisioning.aws import Credentials, connect
from provisioning.errors import PreflightFailed
from provisioning.plan import describe
from provisioning.pricing import PriceTable
from provisioning.setup import perform, plan_setup, settle_spec
from provisioning.standing import RunIdentity
from provisioning.teardown import describe as describe_removal
from provisioning.teardown import observe, plan_teardown, teardown
from provisioning.waiting import SystemClock
from stacks.settings import parse_deployment
from stacks.synth import synthesize
from tests.provisioning.emulator.emulated import REGION

if TYPE_CHECKING:
    from provisioning.aws import Aws
    from provisioning.emulator.state import Running
    from provisioning.plan import SetupPlan
    from stacks.spec import DeploymentSpec
    from tests.provisioning.emulator.emulated import Emulated

SSM = ("ssm", "ssmmessages")
NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Network:
    """Somebody's VPC, made with plain API calls."""

    ec2: Any
    vpc: str
    subnets: tuple[str, str]  # in the zones a and b
    table: str
    group: str

    def add_endpoint(self, service: str, subnet: str, *, private_dns: bool = False) -> str:
        made = self.ec2.create_vpc_endpoint(
            VpcId=self.vpc,
            VpcEndpointType="Interface",
            ServiceName=f"com.amazonaws.{REGION}.{service}",
            SubnetIds=[subnet],
            SecurityGroupIds=[self.group],
            PrivateDnsEnabled=private_dns,
        )
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def add_gateway(self) -> None:
        self.ec2.create_vpc_endpoint(
            VpcId=self.vpc, ServiceName=f"com.amazonaws.{REGION}.s3", RouteTableIds=[self.table]
        )

    def switch_dns(self, *, on: bool) -> None:
        self.ec2.modify_vpc_attribute(VpcId=self.vpc, EnableDnsSupport={"Value": on})
        self.ec2.modify_vpc_attribute(VpcId=self.vpc, EnableDnsHostnames={"Value": on})

    def looks(self) -> dict[str, Any]:
        """Return everything about the network that a deployment could have changed."""
        here = [{"Name": "vpc-id", "Values": [self.vpc]}]
        attributes = {
            name: self.ec2.describe_vpc_attribute(VpcId=self.vpc, Attribute=attribute)[name]["Value"]
            for name, attribute in (
                ("EnableDnsSupport", "enableDnsSupport"),
                ("EnableDnsHostnames", "enableDnsHostnames"),
            )
        }
        endpoints = {
            each["VpcEndpointId"]: (
                sorted(each["SubnetIds"]),
                each["PrivateDnsEnabled"],
                [group["GroupId"] for group in each["Groups"]],
                each.get("Tags", []),
                len(each["NetworkInterfaceIds"]),
            )
            for each in self.ec2.describe_vpc_endpoints(Filters=here)["VpcEndpoints"]
        }
        groups = {
            each["GroupId"]: (each["IpPermissions"], each["IpPermissionsEgress"])
            for each in self.ec2.describe_security_groups(Filters=here)["SecurityGroups"]
        }
        vpc = self.ec2.describe_vpcs(VpcIds=[self.vpc])["Vpcs"][0]
        return attributes | {"endpoints": endpoints, "groups": groups, "tags": vpc.get("Tags", [])}


@pytest.fixture
def network(aws: Emulated) -> Network:
    vpc = aws.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        aws.ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")[
            "Subnet"
        ]["SubnetId"]
        for number, zone in enumerate("ab")
    ]
    here = [{"Name": "vpc-id", "Values": [vpc]}]
    table = aws.ec2.describe_route_tables(Filters=here)["RouteTables"][0]["RouteTableId"]
    group = aws.ec2.create_security_group(GroupName="endpoints", Description="theirs", VpcId=vpc)
    return Network(aws.ec2, vpc, (subnets[0], subnets[1]), table, group["GroupId"])


@pytest.fixture
def edge(running: Running) -> Aws:
    keys = Credentials(access_key=running.access_key, secret_key=running.secret_key)
    return connect(REGION, endpoint_url=running.endpoint_url, credentials=keys)


def wanted(network: Network, *subnets: str, **keys: object) -> DeploymentSpec:
    return parse_deployment(
        {
            "name": f"retold-{next(NUMBERS)}",
            "region": REGION,
            "network": {"vpc_id": network.vpc, "subnet_ids": list(subnets)} | keys,
            "targets": [{"accelerator": "c7i.xlarge"}],
        }
    )


def plan(edge: Aws, spec: DeploymentSpec) -> SetupPlan:
    settled = settle_spec(edge, spec)
    identity = RunIdentity(run_id="retold", expires_at="2036-01-01T00:00:00Z")
    return plan_setup(settled, synthesize(settled), edge, PriceTable.load(), identity)


def set_up(edge: Aws, made: SetupPlan) -> None:
    perform(made, edge, SystemClock(), lambda _line: None)


def tear_down(edge: Aws, name: str) -> None:
    teardown(edge, name, say=lambda _line: None, clock=SystemClock())


def test_setup_mends_an_existing_network_and_teardown_restores_it(network: Network, edge: Aws) -> None:
    hosts, elsewhere = network.subnets
    network.switch_dns(on=False)
    network.add_gateway()
    endpoints = {service: network.add_endpoint(service, elsewhere) for service in SSM}
    before = network.looks()
    spec = wanted(network, hosts)

    made = plan(edge, spec)
    assert [describe(step) for step in made.steps][:3] == [
        f"switch dns-support and dns-hostnames on in {network.vpc} (teardown switches back)",
        *(
            f"add {hosts} and switch private DNS on in {endpoints[service]} for {service} "
            "(teardown takes it back)"
            for service in SSM
        ),
    ]
    assert [(each.service, each.is_new) for each in made.endpoints] == [(name, False) for name in SSM]
    assert [(item.label, item.quantity) for item in made.items if item.unit == "AZ-hour"] == [
        ("zones added to existing endpoints", 2)
    ]
    assert network.looks() == before, "planning changes nothing"

    set_up(edge, made)
    mended = network.looks()
    assert (mended["EnableDnsSupport"], mended["EnableDnsHostnames"]) == (True, True)
    for endpoint in endpoints.values():
        subnets, private_dns, groups, _, interfaces = mended["endpoints"][endpoint]
        assert (subnets, private_dns, interfaces) == (sorted([hosts, elsewhere]), True, 2)
        assert groups == [network.group]
    ingress = mended["groups"][network.group][0]
    assert [(rule["FromPort"], len(rule["UserIdGroupPairs"])) for rule in ingress] == [(443, 1)]
    assert len(mended["endpoints"]) == len(before["endpoints"]), "what is there is used"

    removal = [describe_removal(step) for step in plan_teardown(observe(edge, spec.name))]
    assert removal[-1] == f"restore {network.vpc}: dns-support, dns-hostnames"
    tear_down(edge, spec.name)
    assert network.looks() == before


def test_a_repeated_setup_mends_nothing_twice(network: Network, edge: Aws) -> None:
    network.switch_dns(on=False)
    network.add_gateway()
    spec = wanted(network, *network.subnets)
    set_up(edge, plan(edge, spec))
    again = plan(edge, spec)
    assert [describe(step).split()[0] for step in again.steps] == ["update", "wait"]
    tear_down(edge, spec.name)


def test_what_two_deployments_rely_on_is_restored_by_the_last(network: Network, edge: Aws) -> None:
    network.switch_dns(on=False)
    network.add_gateway()
    for service in SSM:
        network.add_endpoint(service, network.subnets[1])
    before = network.looks()
    one, two = wanted(network, network.subnets[0]), wanted(network, network.subnets[0])
    set_up(edge, plan(edge, one))
    set_up(edge, plan(edge, two))
    tear_down(edge, one.name)
    between = network.looks()
    assert (between["EnableDnsSupport"], between["EnableDnsHostnames"]) == (True, True)
    assert all(private_dns for _, private_dns, *_ in list(between["endpoints"].values())[1:])
    tear_down(edge, two.name)
    assert network.looks() == before


def test_a_repair_is_found_and_undone_although_setup_died_right_after_it(network: Network, edge: Aws) -> None:
    network.switch_dns(on=False)
    network.add_gateway()
    before = network.looks()
    spec = wanted(network, network.subnets[0])
    made = plan(edge, spec)

    class Died(Exception):
        pass

    def die(line: str) -> None:
        if "stack" in line or "CREATE" in line:
            raise Died

    with pytest.raises(Died):
        perform(made, edge, SystemClock(), die)
    assert network.looks()["EnableDnsSupport"] is True
    tear_down(edge, spec.name)
    assert network.looks() == before


def findings(edge: Aws, spec: DeploymentSpec) -> dict[str, str]:
    with pytest.raises(PreflightFailed) as failed:
        plan(edge, spec)
    return {finding.code: finding.remedy for finding in failed.value.findings if finding.blocks}


def test_without_a_way_to_s3_nothing_is_made_and_the_route_tables_are_named(
    network: Network, edge: Aws
) -> None:
    remedies = findings(edge, wanted(network, network.subnets[0]))
    assert f"--route-table-id {network.table};" in remedies["no-way-to-s3"]
    routed = wanted(network, network.subnets[0], route_table_ids=[network.table])
    assert "no-way-to-s3" not in {finding.code for finding in plan(edge, routed).findings}


def test_two_subnets_of_one_zone_are_refused(network: Network, edge: Aws, aws: Emulated) -> None:
    network.add_gateway()
    beside = aws.ec2.create_subnet(VpcId=network.vpc, CidrBlock="10.9.7.0/24", AvailabilityZone=f"{REGION}a")[
        "Subnet"
    ]["SubnetId"]
    assert set(findings(edge, wanted(network, network.subnets[0], beside))) == {"subnets-share-zone"}


def test_an_endpoint_of_another_deployment_is_not_borrowed(network: Network, edge: Aws) -> None:
    network.switch_dns(on=True)
    network.add_gateway()
    endpoint = network.add_endpoint("ssm", network.subnets[0], private_dns=True)
    network.ec2.create_tags(Resources=[endpoint], Tags=[{"Key": "amazonei:deployment", "Value": "somebody"}])
    remedies = findings(edge, wanted(network, network.subnets[0]))
    assert remedies == {
        "endpoint-of-another-deployment": "use another VPC, or first: amazonei teardown --name somebody"
    }


def test_new_endpoints_in_an_existing_network_come_with_a_warning(network: Network, edge: Aws) -> None:
    network.switch_dns(on=True)
    network.add_gateway()
    made = plan(edge, wanted(network, network.subnets[0]))
    assert [finding.code for finding in made.findings] == ["private-names-shared"]
    assert "ssm, ssmmessages" in made.findings[0].message
