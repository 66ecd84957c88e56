"""Every accelerator in every region that offers it: what can be said of a template without a pack."""

from __future__ import annotations

import json

import pytest

from stacks.deletion import DELETIONS
from tests.gates.catalogue import HOME, deployment, examples, offered, regions_of
from tests.stacks.rules import TEMPLATE_BYTES, violations


def test_every_accelerator_is_offered_somewhere() -> None:
    from artifacts.targets import catalogue

    assert [name for name in catalogue() if not regions_of(name)] == []
    assert len(offered()) >= 25


@pytest.mark.parametrize("region", offered())
def test_a_regions_whole_catalogue_synthesises_and_keeps_our_rules(region: str) -> None:
    stacks = deployment(region, offered()[region])
    assert {stack.hosts[0].accelerator for stack in stacks if stack.hosts} == set(offered()[region])
    assert [found for stack in stacks for found in violations(stack.body)] == []
    assert max(len(stack.body.encode()) for stack in stacks) < TEMPLATE_BYTES


@pytest.mark.parametrize("region", [region for region in offered() if region != HOME])
def test_host_stacks_differ_between_regions_by_the_regions_name_alone(region: str) -> None:
    at_home = {stack.name: stack.body for stack in deployment(HOME, _everything()) if stack.hosts}
    for stack in deployment(region, offered()[region]):
        if stack.hosts:
            assert stack.body == at_home[stack.name].replace(HOME, region)


def test_no_template_has_an_asset_a_custom_resource_or_a_function() -> None:
    for example in examples():
        template = json.loads(example.body)
        types = {resource["Type"] for resource in template["Resources"].values()}
        assert not {name for name in types if name.startswith(("Custom::", "AWS::Lambda::"))}
        assert not [name for name in template.get("Parameters", {}) if "Asset" in name]


def test_the_guard_can_delete_every_type_there_is() -> None:
    types = {
        resource["Type"]
        for example in examples()
        if not example.name.endswith("-guard")
        for resource in json.loads(example.body)["Resources"].values()
    }
    assert types == set(DELETIONS) & types


def test_a_hundred_hosts_are_a_template_hardly_larger_than_one() -> None:
    from stacks.settings import parse_deployment
    from stacks.synth import synthesize

    sizes = {}
    for count in (1, 100):
        targets = [{"accelerator": "c7i.xlarge", "count": count}]
        (stack,) = synthesize(parse_deployment({"region": HOME, "targets": targets}))
        sizes[count] = len(stack.body.encode())
    assert sizes[100] <= 1.1 * sizes[1]


def _everything() -> tuple[str, ...]:
    from artifacts.targets import catalogue

    return tuple(catalogue())
