"""A parameter is what the template allows it to be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

VPC = {"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": {"Ref": "Range"}}}}
RANGE = {"Type": "String", "Default": "10.0.0.0/16"}
SSM_TYPE = "AWS::SSM::Parameter::Value<String>"


@pytest.mark.parametrize(
    ("slot", "given", "message"),
    [
        ({"Type": "String"}, {}, r"Parameters: \[Range\] must have values"),
        (RANGE, {"Rnage": "x"}, r"Parameters: \[Rnage\] do not exist in the template"),
        ({**RANGE, "AllowedValues": ["10.0.0.0/16"]}, {"Range": "10.1.0.0/16"}, "AllowedValues"),
        ({**RANGE, "AllowedPattern": r"10\.[0-9./]+"}, {"Range": "11.0.0.0/16"}, "must match pattern"),
        ({**RANGE, "MaxLength": 3}, {}, "MaxLength 3"),
        ({"Type": "Number", "MinValue": 5}, {"Range": "4"}, "MinValue 5"),
        ({"Type": "Number"}, {"Range": "four"}, "must be a number"),
        ({"Type": SSM_TYPE, "Default": "/none"}, {}, r"Unable to fetch parameters \[/none\]"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(
    account: Any, slot: dict[str, Any], given: dict[str, str], message: str
) -> None:
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
    with pytest.raises(ClientError, match=message):
        account.cloudformation.create_stack(StackName="s", TemplateBody=_body(slot), Parameters=parameters)
    assert account.vpc_ids() == set()


def test_an_ssm_parameter_gives_its_value(account: Any) -> None:
    account.ssm.put_parameter(Name="/range", Value="10.7.0.0/16", Type="String")
    account.cloudformation.create_stack(
        StackName="s", TemplateBody=_body({"Type": SSM_TYPE, "Default": "/range"})
    )
    (vpc,) = (each for each in account.ec2.describe_vpcs()["Vpcs"] if not each["IsDefault"])
    assert vpc["CidrBlock"] == "10.7.0.0/16"


def test_a_previous_ssm_parameter_is_looked_up_again(account: Any) -> None:
    account.ssm.put_parameter(Name="/range", Value="10.7.0.0/16", Type="String")
    body = _body({"Type": SSM_TYPE})
    given = [{"ParameterKey": "Range", "ParameterValue": "/range"}]
    account.cloudformation.create_stack(StackName="s", TemplateBody=body, Parameters=given)
    account.ssm.put_parameter(Name="/range", Value="10.8.0.0/16", Type="String", Overwrite=True)
    account.cloudformation.update_stack(
        StackName="s",
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "Range", "UsePreviousValue": True}],
        Tags=[{"Key": "a", "Value": "b"}],
    )
    (vpc,) = (each for each in account.ec2.describe_vpcs()["Vpcs"] if not each["IsDefault"])
    assert vpc["CidrBlock"] == "10.8.0.0/16"


def _body(slot: dict[str, Any]) -> str:
    return json.dumps({"Parameters": {"Range": slot}, "Resources": VPC})
