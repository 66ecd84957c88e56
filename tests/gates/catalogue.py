"""Every template that the gates look at, and the regions each is for.

One deployment of the whole catalogue per region gives a host stack for each accelerator that the region
offers. Host stacks differ between regions by the region's name alone (a test says so), so each is linted
once, for all its regions.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import moto

from artifacts.targets import Family, catalogue
from stacks.settings import parse_deployment
from stacks.synth import SynthesizedStack, synthesize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from artifacts.targets import Target

HOME = "us-west-2"
# The regions of the Elastic Inference API, from botocore's endpoints.json just before the service left it.
ELASTIC_INFERENCE_REGIONS = (
    *("ap-northeast-1", "ap-northeast-2", "eu-west-1", "us-east-1", "us-east-2"),
    HOME,
)
OFFERINGS = Path(moto.__file__).parent / "ec2" / "resources" / "instance_type_offerings" / "region"
LINTED = json.loads(
    (files("cfnlint.data.schemas.extensions.aws_ec2_instance") / "instancetype_enum.json").read_text()
)
CERTIFICATE = "arn:aws:acm:us-west-2:123456789012:certificate/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
EXISTING = {"vpc_id": "vpc-0a1b2c3d", "subnet_ids": ["subnet-0b2c3d4e", "subnet-0b2c3d4f"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A template, what it is an example of, and where it is deployed."""

    name: str
    body: str
    regions: tuple[str, ...] = (HOME,)


@cache
def offered() -> Mapping[str, tuple[str, ...]]:
    """Return the accelerators of the catalogue by the regions that offer them."""
    found: dict[str, tuple[str, ...]] = {}
    for file in sorted(OFFERINGS.glob("*.json.gz")):
        region = file.name.removesuffix(".json.gz")
        rows = json.loads(gzip.decompress(file.read_bytes()))
        # Both lists are copies of AWS's answers, of different days; what both have is offered.
        types = {row["InstanceType"] for row in rows} & set(LINTED[region]["enum"])
        found[region] = tuple(t.name for t in catalogue().values() if _is_offered(t, region, types))
    return {region: names for region, names in found.items() if names}


def regions_of(accelerator: str) -> tuple[str, ...]:
    """Return the regions that offer an accelerator."""
    return tuple(region for region, names in offered().items() if accelerator in names)


@cache
def deployment(region: str, names: tuple[str, ...]) -> tuple[SynthesizedStack, ...]:
    """Return the stacks of a deployment with these accelerators."""
    targets = [{"accelerator": name} for name in names]
    return synthesize(parse_deployment({"name": "all", "region": region, "targets": targets}))


@cache
def examples() -> tuple[Example, ...]:
    """Return every distinct template: of each accelerator, each region, and each way to deploy."""
    everything = tuple(catalogue())
    hosts = [stack for stack in deployment(HOME, everything) if stack.hosts]
    return (
        *(
            Example(
                name=stack.name, body=stack.body, regions=regions_of(stack.hosts[0].accelerator) or (HOME,)
            )
            for stack in hosts
        ),
        *(
            Example(name=f"foundation-{region}", body=deployment(region, names)[0].body, regions=(region,))
            for region, names in offered().items()
        ),
        *_others(),
    )


def _others() -> tuple[Example, ...]:
    served = [{"accelerator": t.name} for t in catalogue().values() if t.architecture == "x86_64"]
    one, group = {"accelerator": "c7i.xlarge"}, {"accelerator": "c7i.xlarge", "count": 3}
    balanced = group | {"certificate": CERTIFICATE, "max_count": 6, "requests_per_minute": 3000}
    elsewhere = {**group, "certificate": CERTIFICATE, "clients": "10.1.0.0/16"}
    ways: dict[str, dict[str, object]] = {
        "single": {"targets": [one], "guard": True, "budget": {"max_usd": 5, "email": "me@example.org"}},
        "fleet": {"targets": [group], "guard": True},
        "balanced": {"targets": [balanced], "guard": True},
        "elsewhere": {"targets": [elsewhere], "network": EXISTING},
        "retired": {
            "targets": [{"accelerator": "eia2.medium"}],
            "endpoints": [{"accelerator": "eia2.medium"}],
        },
        "existing": {"targets": [one], "network": EXISTING},
        "sagemaker": {
            "targets": [one],
            "endpoints": served,
            "notebooks": [{"name": "plain"}, {"name": "legacy", "accelerator": "eia2.medium"}],
        },
        "guarded": {
            "targets": [one, {"accelerator": "inf2.xlarge"}],
            "endpoints": [{"accelerator": "inf2.xlarge"}],
            "notebooks": [{"name": "plain"}],
            "guard": True,
        },
    }
    found: list[Example] = []
    for way, keys in ways.items():
        stacks = synthesize(parse_deployment({"name": way, "region": HOME, **keys}))
        found.extend(Example(name=stack.name, body=stack.body) for stack in stacks)
    return tuple(found)


def _is_offered(target: Target, region: str, types: set[str]) -> bool:
    if target.family is Family.ELASTIC_INFERENCE:
        return region in ELASTIC_INFERENCE_REGIONS
    return target.instance_type in types
