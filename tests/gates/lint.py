"""cfn-lint with what AWS published of Elastic Inference until it retired the service.

cfn-lint knows what CloudFormation and IAM know today. `retired.json` gives `AcceleratorType` back to
SageMaker's endpoints, and this module gives IAM its service back, so that templates with an accelerator are
looked at like all others. The types are those of the `ProductionVariantAcceleratorType` that SageMaker's API
still has; the actions are those of the Service Authorization Reference of that time:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticinference.html

Takes the arguments of cfn-lint: python lint.py --format json -- TEMPLATE...
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from cfnlint import helpers
from cfnlint.runner import main

OVERRIDES = Path(__file__).with_name("retired.json")
ACCELERATOR = (
    "arn:${Partition}:elastic-inference:${Region}:${Account}:elastic-inference-accelerator/${AcceleratorId}"
)
OF_AN_ACCELERATOR = ("connect", "describeaccelerators", "listtagsforresource", "tagresource", "untagresource")
OF_THE_SERVICE = ("describeacceleratorofferings", "describeacceleratortypes")
RETIRED: dict[str, Any] = {
    "elastic-inference": {
        "Actions": {
            **{action: {"Resources": ["accelerator"]} for action in OF_AN_ACCELERATOR},
            **{action: {} for action in OF_THE_SERVICE},
        },
        "Resources": {"accelerator": {"ARNFormats": [ACCELERATOR]}},
    }
}


def give_back() -> None:
    """Let every rule that asks for IAM's services find the retired one among them."""
    today = helpers.load_resource

    def load_resource(package: Any, filename: str = "us-east-1.json") -> Any:
        found = today(package, filename)
        return {**found, **RETIRED} if filename == "Policies.json" else found

    helpers.load_resource = load_resource


if __name__ == "__main__":
    give_back()  # before cfn-lint loads its rules, which take the function by its name
    sys.argv[1:1] = ["--override-spec", str(OVERRIDES)]
    main()
