from __future__ import annotations

from typing import Any

import pytest

from artifacts.errors import BadRequest, TargetRetired
from artifacts.targets import find, refuse_retired
from provisioning.deployment_request import deployment_spec
from stacks.closure import needs

VPC = {"vpc_id": "vpc-0a1b2c3d", "subnet_ids": ["subnet-0b2c3d4e"]}


def spec(document: dict[str, Any], **wanted: Any) -> Any:
    return deployment_spec(document, "bench", "us-west-2", wanted)


def accelerators(document: dict[str, Any], **wanted: Any) -> list[str]:
    return [host.accelerator for host in spec(document, **wanted).hosts]


def test_without_a_word_it_is_one_inf1_host_for_eight_hours() -> None:
    made = spec({})
    assert [(host.accelerator, host.count) for host in made.hosts] == [("inf1.xlarge", 1)]
    assert made.ttl_s == 8 * 3600


def test_name_and_region_are_the_settled_ones() -> None:
    made = spec({"name": "filed", "region": "eu-west-1"})
    assert (made.name, made.region) == ("bench", "us-west-2")


def test_typed_accelerators_replace_the_files() -> None:
    filed = {"targets": [{"accelerator": "inf2.xlarge", "count": 3}]}
    assert accelerators(filed) == ["inf2.xlarge"]
    assert accelerators(filed, accelerators=("c7i.xlarge", "m5.xlarge")) == ["c7i.xlarge", "m5.xlarge"]
    assert spec(filed, accelerators=("c7i.xlarge",)).hosts[0].count == 1


def test_a_typed_count_and_ttl_beat_the_files() -> None:
    filed = {"ttl": "4h", "targets": [{"accelerator": "inf2.xlarge", "count": 3}]}
    assert (spec(filed).ttl_s, spec(filed).hosts[0].count) == (4 * 3600, 3)
    typed = spec(filed, ttl="90m", count=2)
    assert (typed.ttl_s, typed.hosts[0].count) == (90 * 60, 2)


def test_a_typed_vpc_brings_its_own_subnets_and_a_typed_subnet_is_of_the_files_vpc() -> None:
    other = spec({"network": VPC}, vpc_id="vpc-0f0f0f0f", subnet_ids=("subnet-0c0c0c0c",))
    assert (other.network.vpc_id, other.network.subnet_ids) == ("vpc-0f0f0f0f", ("subnet-0c0c0c0c",))
    same = spec({"network": VPC}, subnet_ids=("subnet-0c0c0c0c",))
    assert (same.network.vpc_id, same.network.subnet_ids) == ("vpc-0a1b2c3d", ("subnet-0c0c0c0c",))


@pytest.mark.parametrize("rows", ["c7i.xlarge", ["c7i.xlarge"], [3]])
def test_targets_that_are_no_tables_are_a_bad_request(rows: Any) -> None:
    with pytest.raises(BadRequest, match="Each target must be a table"):
        spec({"targets": rows})


def test_an_unknown_accelerator_is_a_bad_request_that_leads_to_the_list() -> None:
    with pytest.raises(BadRequest, match=r"inf2\.xlrage") as caught:
        spec({}, accelerators=("inf2.xlrage",))
    assert "Did you mean inf2.xlarge" in caught.value.message


def test_a_retired_accelerator_is_refused_with_its_successors() -> None:
    with pytest.raises(TargetRetired) as caught:
        refuse_retired(find("eia2.medium"))
    assert "2024" in caught.value.message
    assert "https://" in caught.value.message
    assert "inf2.xlarge" in caught.value.hint


def test_a_file_that_names_only_endpoints_gets_no_hosts_and_no_interface_endpoints() -> None:
    filed = {"endpoints": [{"accelerator": "inf2.xlarge"}]}
    assert accelerators(filed) == []
    assert needs(spec(filed)) == ()
    assert accelerators(filed, accelerators=("c7i.xlarge",)) == ["c7i.xlarge"]
