"""Elastic Inference as EC2 showed it: accelerators attached to an instance at launch.

The service is retired; the emulator keeps it so that old templates can be deployed and migrated.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ElasticInferenceAccelerator.html
TYPES = frozenset(
    f"{generation}.{size}" for generation in ("eia1", "eia2") for size in ("medium", "large", "xlarge")
)


def associations(
    accelerators: Sequence[Mapping[str, Any]], region: str, account: str
) -> list[dict[str, Any]]:
    """Return one association for each accelerator asked for; raises InvalidParameterValue."""
    found = []
    for accelerator in accelerators:
        if accelerator.get("Type") not in TYPES:
            raise EC2ClientError(
                "InvalidParameterValue", f"{accelerator.get('Type')} is not an Elastic Inference type."
            )
        found += [_association(region, account) for _ in range(int(accelerator.get("Count", 1)))]
    return found


def _association(region: str, account: str) -> dict[str, Any]:
    identifier = secrets.token_hex(16)
    arn = f"arn:aws:elastic-inference:{region}:{account}:elastic-inference-accelerator/eia-{identifier}"
    return {
        "ElasticInferenceAcceleratorArn": arn,
        "ElasticInferenceAcceleratorAssociationId": f"eia-assoc-{identifier[:17]}",
        "ElasticInferenceAcceleratorAssociationState": "attached",
        "ElasticInferenceAcceleratorAssociationTime": utcnow(),
    }
