from __future__ import annotations

from pathlib import Path

import pytest

from artifacts.errors import BadRequest
from stacks.closure import creates_s3_gateway, endpoint_groups, interface_services, s3_prefix_list
from stacks.durations import parse_duration
from stacks.settings import parse_deployment, read_document, reject_unknown
from stacks.spec import DeploymentSpec, HostSpec, NetworkSpec
from tests.stacks.specs import BALANCED, CERTIFICATE, EXISTING, SPECS, described

ROOT = Path(__file__).parents[2]
VPC = "vpc-0a1b2c3d"
ELSEWHERE = CERTIFICATE.replace("us-west-2", "eu-west-1")
RESERVED = "cr-0a1b2c3d4e5f60718"


def balanced(**changes: object) -> dict[str, object]:
    row: dict[str, object] = {"accelerator": "c7i.xlarge", "count": 2, "certificate": CERTIFICATE}
    return {"targets": [row | changes]}


def test_the_whole_file_of_the_contract_becomes_one_spec(tmp_path: Path) -> None:
    config = tmp_path / "amazonei.toml"
    config.write_text(
        """
        name = "resnet-bench"
        region = "eu-west-1"
        ttl = "4h"
        key_name = "me"
        [model]
        source = "examples/resnet.py:resnet50"
        [network]
        vpc_id = "vpc-0a1b2c3d"
        subnet_ids = ["subnet-0a1b2c3d", "subnet-0a1b2c3e"]
        [[targets]]
        accelerator = "c7i.xlarge"
        count = 2
        [[targets]]
        accelerator = "eia2.medium"
        instance_type = "c5.large"
        [benchmark]
        mode = "quick"
        [budget]
        max_usd = 5
        """,
        encoding="utf-8",
    )
    spec = parse_deployment(read_document(config))
    assert (spec.name, spec.region, spec.ttl_s, spec.key_name) == ("resnet-bench", "eu-west-1", 14_400, "me")
    assert spec.network == NetworkSpec(vpc_id=VPC, subnet_ids=("subnet-0a1b2c3d", "subnet-0a1b2c3e"))
    assert [
        (host.accelerator, host.instance_type, host.elastic_inference, host.count) for host in spec.hosts
    ] == [("c7i.xlarge", "c7i.xlarge", None, 2), ("eia2.medium", "c5.large", "eia2.medium", 1)]


def test_the_file_of_the_checkout_is_one_stack_so_that_plain_cdk_deploy_works() -> None:
    spec = parse_deployment(read_document(ROOT / "amazonei.toml"))
    assert {spec.host_stack(host) for host in spec.hosts} == {spec.name}


def test_a_document_that_says_only_where_gets_the_defaults() -> None:
    spec = parse_deployment({"region": "us-west-2"})
    assert (spec.name, spec.ttl_s, spec.network) == ("amazonei", 8 * 3600, NetworkSpec())
    assert [host.accelerator for host in spec.hosts] == ["inf1.xlarge"]


def test_an_elastic_inference_accelerator_hangs_on_an_m5_unless_told_otherwise() -> None:
    (host,) = described("eia2.large").hosts
    assert (host.instance_type, host.elastic_inference) == ("m5.xlarge", "eia2.large")


@pytest.mark.parametrize(
    ("document", "message", "hint"),
    [
        ({"regoin": "us-west-2"}, "Unknown key 'regoin'.", "Did you mean 'region'?"),
        (
            {"network": {"subnets": []}},
            "Unknown key 'subnets' in [network].",
            "Did you mean 'subnet_ids'?",
        ),
        (
            {"targets": [{"accelerator": "c7i.xlarge", "zebra": 1}]},
            "Unknown key 'zebra' in [targets].",
            "Known here: accelerator, instance_type, count, spot, capacity_reservation, compiler, ",
        ),
        (
            {"targets": [{"accelerator": "c7i.xlarge", "max_count": 3}]},
            "'max_count' in [targets] is about a load balancer, and there is none.",
            "certificate =",
        ),
        (balanced(certificate="mine"), "'mine' is not the ARN of a certificate", "arn:aws:acm:"),
        (
            balanced(certificate=CERTIFICATE.replace("us-west-2", "eu-west-1")),
            "The certificate is of eu",
            "ACM",
        ),
        (balanced(count=1), "A balancer before 1 c7i.xlarge host has nowhere to send", "count = 2"),
        (balanced(clients="everybody"), "'everybody' is not a CIDR block", "10.1.0.0/16"),
        (balanced(clients="0.0.0.0/0"), "Clients from 0.0.0.0/0 are the world.", "Name the addresses"),
        (balanced(clients="::/0"), "Clients from ::/0 are the world.", "Name the addresses"),
        (balanced(max_count=4), "How far a group grows and at how many requests", "requests_per_minute ="),
        (
            balanced(max_count=2, requests_per_minute=60),
            "A group of 2 c7i.xlarge hosts cannot",
            "max_count >",
        ),
        (balanced(max_count=4, requests_per_minute=0), "A group that grows at no requests", "1 or more"),
        (balanced(max_count="4"), "'max_count' in [targets] is not a whole number.", "max_count = 2"),
        (balanced(accelerator="eia2.medium"), "Hosts with eia2.medium are no group", "Leave the certificate"),
        (
            {**balanced(), "network": {"vpc_id": VPC, "subnet_ids": ["subnet-0a1b2c3d", "subnet-0a1b2c3d"]}},
            "A load balancer stands in two zones, and one subnet is in one.",
            "--subnet-id",
        ),
        (
            {**balanced(), "network": {"vpc_id": VPC, "subnet_ids": ["subnet-0a1b2c3d", "subnet-0a1b2c3e"]}},
            f"Who may connect to a balancer in {VPC} is not said.",
            "clients =",
        ),
        ({"region": None}, "No region is given.", "--region"),
        ({"region": "nowhere"}, "'nowhere' is not a region.", "us-west-2"),
        ({"region": 7}, "'region' is not a string", 'region = "..."'),
        ({"name": "Big Name"}, "'Big Name' cannot name a deployment", "lower-case"),
        ({"ttl": "soon"}, "'soon' is not a duration.", "90m"),
        ({"network": "vpc"}, "'network' is not a table.", "[network]"),
        ({"network": {"subnet_ids": "subnet-1"}}, "'subnet_ids' in [network] is not a list", '["..."]'),
        (
            {"network": {"subnet_ids": ["subnet-0a1b2c3d"]}},
            "Subnets are named without their VPC.",
            "--vpc-id",
        ),
        ({"network": {"vpc_id": VPC}}, f"VPC {VPC} is named without subnets.", "--subnet-id"),
        (
            {"network": {"vpc_id": "vpc-x", "subnet_ids": ["subnet-0a1b2c3d"]}},
            "'vpc-x' is not an id",
            "Copy it",
        ),
        ({"targets": "c7i.xlarge"}, "'targets' is not a list of tables.", "[[targets]]"),
        ({"targets": []}, "A deployment needs at least one accelerator.", "--accelerator"),
        ({"targets": [{}]}, "A table [[targets]] names no accelerator.", "accelerator ="),
        ({"targets": [{"accelerator": "inf2.xlrge"}]}, "There is no target 'inf2.xlrge'.", "targets"),
        ({"targets": [{"accelerator": "c7i.xlarge", "count": 0}]}, "0 hosts of c7i.xlarge", "1 or more"),
        ({"targets": [{"accelerator": "c7i.xlarge", "count": True}]}, "'count' in [targets]", "count = 2"),
        (
            {"targets": [{"accelerator": "c7i.xlarge", "instance_type": "m5.large"}]},
            "c7i.xlarge is its own host",
            "Leave the instance type out",
        ),
        (
            {"targets": [{"accelerator": "c7i.xlarge"}, {"accelerator": "c7i.xlarge"}]},
            "Accelerator c7i.xlarge is asked for twice.",
            "--count",
        ),
        ({"ssh_cidr": "0.0.0.0/0", "key_name": "mine"}, "SSH from 0.0.0.0/0 is SSH from the world.", "come"),
        ({"ssh_cidr": "::/0", "key_name": "mine"}, "SSH from ::/0 is SSH from the world.", "come from"),
        ({"ssh_cidr": "128.0.0.0/1", "key_name": "mine"}, "SSH from 128.0.0.0/1 is SSH", "come from"),
        ({"ssh_cidr": "10.1.2.3/24", "key_name": "mine"}, "'10.1.2.3/24' is not a CIDR block", "10.1.2.0"),
        ({"ssh_cidr": "10.1.2.0/24"}, "SSH is opened, and nobody has a key.", "--key-name"),
        ({"kms_key": "alias/mine"}, "'alias/mine' is not the ARN of a KMS key.", "arn:aws:kms"),
        ({"identity": {"permissions_boundary": "boundary"}}, "'boundary' is not the ARN", "policy/boundary"),
        ({"identity": {"role_path": "teams"}}, "'teams' is not an IAM path.", "/teams/research/"),
        ({"identity": {"role": "x"}}, "Unknown key 'role' in [identity].", "'role_path'"),
        ({"network": {"endpoints": ["s3"]}}, "Subnets are named without their VPC.", "--vpc-id"),
        ({"targets": [{"accelerator": "c7i.xlarge", "spot": 1}]}, "'spot' in [targets]", "spot = true"),
        (
            {"targets": [{"accelerator": "c7i.xlarge", "capacity_reservation": "mine"}]},
            "'mine' is not an id of the form cr-",
            "Copy it",
        ),
        (
            {"targets": [{"accelerator": "c7i.xlarge", "spot": True, "capacity_reservation": RESERVED}]},
            "c7i.xlarge cannot be both a spot host and in a capacity reservation.",
            "Leave one",
        ),
        (
            {"targets": [{"accelerator": "eia2.medium", "spot": True}]},
            "Hosts with eia2.medium are on-demand hosts only.",
            "Leave spot",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_fact_and_a_remedy(
    document: dict[str, object], message: str, hint: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_deployment({"region": "us-west-2", **document})
    assert refused.value.message.startswith(message)
    assert hint in refused.value.hint


def test_a_certificate_puts_a_balancer_before_a_group_and_two_keys_let_it_grow() -> None:
    (host,) = described(targets=[BALANCED]).hosts
    assert host.is_group
    assert host.balancer is not None
    assert (host.balancer.max_count, host.balancer.requests_per_minute) == (6, 3000)
    assert (host.balancer.region, host.balancer.clients) == ("us-west-2", None)


def test_endpoints_that_are_there_are_named_with_their_security_group() -> None:
    lines = ["ssm=sg-0a1b2c3d", "s3"]
    network = described("c7i.xlarge", network={**EXISTING, "endpoints": lines}).network
    assert [(each.service, each.security_group_id) for each in network.endpoints] == [
        ("ssm", "sg-0a1b2c3d"),
        ("s3", None),
    ]
    with pytest.raises(BadRequest, match="'sg' is not an id of the form sg-"):
        described("c7i.xlarge", network={**EXISTING, "endpoints": ["ssm=sg"]})


def test_unknown_keys_of_any_table_are_refused_the_same_way() -> None:
    reject_unknown({"mode": "quick"}, ("mode", "slo_ms"), "benchmark")
    with pytest.raises(BadRequest, match=r"Unknown key 'slo' in \[benchmark\]\."):
        reject_unknown({"slo": 50}, ("mode", "slo_ms"), "benchmark")


def test_a_missing_or_broken_file_is_a_bad_request(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="There is no file"):
        read_document(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ", encoding="utf-8")
    with pytest.raises(BadRequest, match="is not valid TOML"):
        read_document(broken)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5_400), ("8h", 28_800), ("2d", 172_800), ("45s", 45), ("1d12h", 129_600), (" 1h30m ", 5_400)],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "0h", "-1h", "1.5h", "8 h", "1h1d", "\uff18h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_duration(text)


def test_hosts_reach_systems_manager_and_the_accelerators_service_when_there_is_one() -> None:
    assert interface_services(SPECS["cpu"]) == ("ssm", "ssmmessages")
    assert interface_services(SPECS["three"]) == (
        "ssm",
        "ssmmessages",
        "ec2messages",
        "elastic-inference.runtime",
    )


def test_no_endpoint_is_made_for_a_service_that_has_one() -> None:
    spec = described("eia2.medium", network={**EXISTING, "endpoints": ["ssm=sg-0a1b2c3d", "s3"]})
    assert interface_services(spec) == ("ssmmessages", "ec2messages", "elastic-inference.runtime")
    assert endpoint_groups(spec) == ("sg-0a1b2c3d",)


def test_a_gateway_is_made_where_route_tables_are_known_and_none_is_there() -> None:
    routed: dict[str, object] = {**EXISTING, "route_table_ids": ["rtb-0c3d4e5f"]}
    networks: list[dict[str, object]] = [{}, {**EXISTING}, routed, {**routed, "endpoints": ["s3"]}]
    made = [creates_s3_gateway(described("c7i.xlarge", network=network)) for network in networks]
    assert made == [True, False, True, False]


def test_a_prefix_list_is_given_only_where_it_is_known() -> None:
    assert s3_prefix_list("us-east-1") == "pl-63a5400a"
    assert s3_prefix_list("xx-nowhere-1") is None


def test_one_accelerator_needs_no_stack_of_its_own() -> None:
    host = HostSpec(
        accelerator="c7i.xlarge", instance_type="c7i.xlarge", image_parameter="/p", interpreter="/python"
    )
    spec = DeploymentSpec(name="bench", region="us-west-2", hosts=(host,))
    assert spec.host_stack(host) == "bench"
