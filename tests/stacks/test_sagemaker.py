from __future__ import annotations

import json
from typing import Any

import pytest

from artifacts.errors import BadRequest
from stacks.synth import synthesize
from tests.stacks.specs import described


def template(stack: str, **keys: object) -> dict[str, Any]:
    found = {each.name: each.body for each in synthesize(described("c7i.xlarge", name="bench", **keys))}
    body: dict[str, Any] = json.loads(found[stack])
    return body


def endpoint(accelerator: str, **keys: object) -> dict[str, Any]:
    name = f"bench-endpoint-{accelerator.replace('.', '-')}"
    return template(name, endpoints=[{"accelerator": accelerator, **keys}])


def the(template: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = (it for it in template["Resources"].values() if it["Type"] == kind)
    properties: dict[str, Any] = found["Properties"]
    return properties


@pytest.mark.parametrize(
    ("accelerator", "instance_type", "repository"),
    [
        ("inf1.xlarge", "ml.inf1.xlarge", "pytorch-inference-neuron:"),
        ("inf2.8xlarge", "ml.inf2.8xlarge", "pytorch-inference-neuronx:"),
        ("trn1.2xlarge", "ml.trn1.2xlarge", "pytorch-inference-neuronx:"),
        ("g6.xlarge", "ml.g6.xlarge", "pytorch-inference:2.6.0-gpu"),
        ("c7i.xlarge", "ml.c7i.xlarge", "pytorch-inference:2.6.0-cpu"),
        ("eia2.medium", "ml.m5.xlarge", "pytorch-inference-eia:"),
    ],
)
def test_each_family_has_its_instance_type_and_image(
    accelerator: str, instance_type: str, repository: str
) -> None:
    made = endpoint(accelerator)
    (variant,) = the(made, "AWS::SageMaker::EndpointConfig")["ProductionVariants"]
    assert variant["InstanceType"] == instance_type
    assert repository in json.dumps(the(made, "AWS::SageMaker::Model")["PrimaryContainer"]["Image"])
    expected = "ml.eia2.medium" if accelerator == "eia2.medium" else None
    assert variant.get("AcceleratorType") == expected


def test_the_model_is_named_when_the_endpoint_is_deployed() -> None:
    made = endpoint("inf2.xlarge")
    assert "Default" not in made["Parameters"]["ModelDataUrl"]
    assert the(made, "AWS::SageMaker::Model")["PrimaryContainer"]["ModelDataUrl"] == {"Ref": "ModelDataUrl"}


def test_the_container_is_told_the_digest_by_the_stack() -> None:
    made = endpoint("c7i.xlarge")
    assert made["Parameters"]["ManifestDigest"]["AllowedPattern"] == "[0-9a-f]{64}"
    variables = the(made, "AWS::SageMaker::Model")["PrimaryContainer"]["Environment"]
    assert variables == {"AMAZONEI_MANIFEST_DIGEST": {"Ref": "ManifestDigest"}}


def test_each_neuron_core_has_a_process_of_its_own() -> None:
    variables = the(endpoint("inf2.24xlarge"), "AWS::SageMaker::Model")["PrimaryContainer"]["Environment"]
    assert (variables["SAGEMAKER_MODEL_SERVER_WORKERS"], variables["NEURON_RT_NUM_CORES"]) == ("12", "1")


def test_an_update_goes_beside_what_serves_where_sagemaker_can_do_that() -> None:
    policy = the(endpoint("inf2.xlarge"), "AWS::SageMaker::Endpoint")["DeploymentConfig"][
        "BlueGreenUpdatePolicy"
    ]
    assert policy["TrafficRoutingConfiguration"]["Type"] == "ALL_AT_ONCE"
    assert "DeploymentConfig" not in the(endpoint("inf1.xlarge"), "AWS::SageMaker::Endpoint")


OWN = "123456789012.dkr.ecr.us-west-2.amazonaws.com/serving:mine"


def test_an_image_of_ones_own_is_named_with_the_torch_it_carries() -> None:
    made = endpoint("c7i.xlarge", image=OWN, torch="2.13.0")
    assert "serving:mine" in json.dumps(the(made, "AWS::SageMaker::Model")["PrimaryContainer"]["Image"])
    assert "repository/serving" in json.dumps(the(made, "AWS::IAM::ManagedPolicy"))
    for row in ({"image": OWN}, {"image": OWN, "torch": "2"}, {"image": "serving", "torch": "2.13.0"}):
        with pytest.raises(BadRequest):
            described("c7i.xlarge", endpoints=[{"accelerator": "c7i.xlarge", **row}])


def test_an_endpoint_follows_its_traffic() -> None:
    made = endpoint("inf2.xlarge", count=2, max_count=5, invocations_per_minute=90)
    target = the(made, "AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 5)
    tracking = the(made, "AWS::ApplicationAutoScaling::ScalingPolicy")
    wanted = tracking["TargetTrackingScalingPolicyConfiguration"]
    assert wanted["TargetValue"] == 90
    assert wanted["PredefinedMetricSpecification"] == {
        "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
    }


def test_a_key_is_given_where_sagemaker_takes_one() -> None:
    assert "KmsKeyId" in the(endpoint("inf2.xlarge"), "AWS::SageMaker::EndpointConfig")
    assert "KmsKeyId" not in the(endpoint("g6.xlarge"), "AWS::SageMaker::EndpointConfig")


@pytest.mark.parametrize("row", [{"accelerator": "c7g.xlarge"}, {"accelerator": "inf2.xlarge", "count": 0}])
def test_what_cannot_be_served_is_refused(row: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        described("c7i.xlarge", endpoints=[row])


def test_a_region_whose_registry_no_source_names_is_refused() -> None:
    with pytest.raises(BadRequest, match="mx-central-1"):
        described("c7i.xlarge", region="mx-central-1", endpoints=[{"accelerator": "inf2.xlarge"}])


def test_only_elastic_inference_is_attached_to_a_notebook() -> None:
    made = template("bench-notebook-one", notebooks=[{"name": "one", "accelerator": "eia2.medium"}])
    assert the(made, "AWS::SageMaker::NotebookInstance")["AcceleratorTypes"] == ["ml.eia2.medium"]
    with pytest.raises(BadRequest, match="cannot be attached"):
        described("c7i.xlarge", notebooks=[{"name": "one", "accelerator": "inf2.xlarge"}])
