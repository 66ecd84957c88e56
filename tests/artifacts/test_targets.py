from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import moto.ec2
import pytest
from botocore.loaders import Loader

from artifacts import targets
from artifacts.errors import BadRequest, TargetRetired
from artifacts.targets import Compiler, Family, Target

ROWS = tuple(targets.catalogue().values())
EI_ROWS = tuple(row for row in ROWS if row.family is Family.ELASTIC_INFERENCE)
EC2_ROWS = tuple(row for row in ROWS if row.family is not Family.ELASTIC_INFERENCE)


def name_of(row: Target) -> str:
    return row.name


def enum_of(service: str, shape: str) -> frozenset[str]:
    model = Loader().load_service_model(service, "service-2")
    return frozenset(model["shapes"][shape]["enum"])


@pytest.fixture(scope="module")
def ec2_types() -> frozenset[str]:
    return enum_of("ec2", "InstanceType")


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    file = Path(moto.ec2.__file__).parent / "resources" / "instance_types.json.gz"
    described: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return described


def test_the_catalogue_holds_every_family_the_product_promises() -> None:
    assert {row.family for row in ROWS} == set(Family)
    assert {row.compiler for row in ROWS} == set(Compiler)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_every_row_has_a_sane_shape(row: Target) -> None:
    assert row.architecture in {"x86_64", "arm64"}
    assert row.image_parameter.startswith("/aws/service/")
    assert row.interpreter.startswith("/")
    assert "/bin/python" in row.interpreter
    assert row.note.endswith(".")
    assert row.sources
    for url in (*row.sources, row.lifecycle.url):
        assert urlsplit(url).scheme == "https"
        assert urlsplit(url).netloc


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_every_lifecycle_that_is_not_available_is_dated(row: Target) -> None:
    assert row.lifecycle.notice.endswith(".")
    if row.lifecycle.state is not targets.LifecycleState.AVAILABLE:
        assert row.lifecycle.since is not None
        assert date(2023, 2, 15) <= date.fromisoformat(row.lifecycle.since) <= date(2026, 11, 21)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_successors_exist_can_be_had_and_have_reasons(row: Target) -> None:
    ranked = targets.successors(row)
    assert bool(ranked) == (row.lifecycle.state is not targets.LifecycleState.AVAILABLE)
    assert len({successor.target.name for successor in ranked}) == len(ranked)
    for successor in ranked:
        assert successor.target.lifecycle.state is targets.LifecycleState.AVAILABLE
        assert len(successor.reason) > 20
    if ranked:
        assert "amazonei's own inference" in row.successors_basis


@pytest.mark.parametrize("row", EC2_ROWS, ids=name_of)
def test_an_ec2_row_is_named_like_its_instance_type(row: Target, ec2_types: frozenset[str]) -> None:
    assert row.instance_type == row.name
    assert row.name in ec2_types


def test_the_ei_rows_are_exactly_the_accelerators_aws_sold() -> None:
    sold = enum_of("sagemaker", "ProductionVariantAcceleratorType")
    assert {f"ml.{row.name}" for row in EI_ROWS} == sold
    assert all(row.instance_type is None for row in EI_ROWS)


@pytest.mark.parametrize("row", EC2_ROWS, ids=name_of)
def test_host_figures_match_what_ec2_describes(row: Target, described: dict[str, Any]) -> None:
    facts = described[row.name]
    assert row.vcpus == facts["VCpuInfo"]["DefaultVCpus"]
    assert row.memory_gib * 1024 == facts["MemoryInfo"]["SizeInMiB"]
    assert row.architecture in facts["ProcessorInfo"]["SupportedArchitectures"]


@pytest.mark.parametrize("row", EC2_ROWS, ids=name_of)
def test_device_figures_match_what_ec2_describes(row: Target, described: dict[str, Any]) -> None:
    facts = described[row.name]
    if row.family is Family.CPU:
        assert (row.chips, row.cores, row.device_memory_gib) == (0, 0, 0)
    elif row.family is Family.GPU:
        assert row.device_memory_gib * 1024 == pytest.approx(facts["GpuInfo"]["TotalGpuMemoryInMiB"], abs=4)
    else:
        device = facts["NeuronInfo"]["NeuronDevices"][0]
        assert row.chips == device["Count"]
        assert row.cores == device["Count"] * device["CoreInfo"]["Count"]


def test_the_image_of_an_arm_host_is_an_arm_image() -> None:
    for row in ROWS:
        assert row.image_parameter.endswith("arm64") == (row.architecture == "arm64")


def test_neuron_images_are_ones_that_still_carry_pytorch() -> None:
    for row in ROWS:
        if row.compiler in {Compiler.TORCH_NEURON, Compiler.TORCH_NEURONX}:
            assert "multi-framework" not in row.image_parameter
            version = re.search(r"pytorch-([0-9]+)\.([0-9]+)", row.image_parameter)
            assert version is not None
            assert f"pytorch_{version[1]}_{version[2]}" in row.interpreter


def test_an_unknown_name_is_answered_with_the_nearest_ones() -> None:
    with pytest.raises(BadRequest) as caught:
        targets.find("inf2.xlage")
    assert "'inf2.xlage'" in caught.value.message
    assert "inf2.xlarge" in caught.value.message
    assert "amazonei targets" in caught.value.hint


def test_a_sagemaker_spelling_finds_its_accelerator_among_the_nearest() -> None:
    with pytest.raises(BadRequest, match=r"Did you mean eia2\.medium"):
        targets.find("ml.eia2.medium")


def test_a_name_like_nothing_gets_no_guess() -> None:
    with pytest.raises(BadRequest) as caught:
        targets.find("zzzz")
    assert "Did you mean" not in caught.value.message


def test_a_retired_target_is_refused_with_date_source_and_ranked_successors() -> None:
    with pytest.raises(TargetRetired) as caught:
        targets.refuse_retired(targets.find("eia2.medium"))
    refusal = caught.value
    assert refusal.exit_code == 2
    assert "2024-10-10" in refusal.message
    assert "https://docs.aws.amazon.com/" in refusal.message
    order = [refusal.hint.index(name) for name in ("inf2.xlarge", "g6.xlarge", "g4dn.xlarge", "c7i.xlarge")]
    assert order == sorted(order)
    assert "own inference" in refusal.hint


@pytest.mark.parametrize("name", ["inf1.xlarge", "inf2.xlarge", "c7i.xlarge"])
def test_what_can_still_be_had_is_not_refused(name: str) -> None:
    targets.refuse_retired(targets.find(name))


def test_the_catalogue_is_read_once_and_cannot_be_changed() -> None:
    assert targets.catalogue() is targets.catalogue()
    with pytest.raises(TypeError):
        targets.catalogue()["x"] = ROWS[0]  # type: ignore[index]


def test_importing_the_module_reads_no_toml() -> None:
    program = "import sys, artifacts.targets; sys.exit('tomllib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
