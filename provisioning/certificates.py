"""Whether the certificates that load balancers are to answer with are there, and can be used.

CloudFormation would say so when it makes the listener: after the network and the balancer, minutes later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from provisioning.aws.acm import CertificateRecord
from provisioning.errors import AccessDenied, NotFound
from provisioning.findings import Finding, Level, not_checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from provisioning.aws import Aws

USABLE = "ISSUED"
EXPIRED = "EXPIRED"

Answer: TypeAlias = CertificateRecord | NotFound | AccessDenied


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCertificate:
    """What AWS answered about a certificate, and when it was asked."""

    arn: str
    answer: Answer
    asked: datetime


def observe_certificates(aws: Aws, arns: Iterable[str]) -> tuple[ObservedCertificate, ...]:
    """Ask AWS for each certificate, once."""
    now = datetime.now(UTC)
    return tuple(
        ObservedCertificate(arn=arn, answer=_ask(aws, arn), asked=now) for arn in dict.fromkeys(arns)
    )


def _ask(aws: Aws, arn: str) -> Answer:
    try:
        return aws.acm.certificate(arn)
    except (AccessDenied, NotFound) as refusal:
        return refusal


def judge_certificates(certificates: Iterable[ObservedCertificate], region: str) -> Iterator[Finding]:
    """Yield an error for each certificate that cannot be used, and a warning for each that is not known."""
    for each in certificates:
        match each.answer:
            case AccessDenied():
                yield not_checked("certificate-unknown", f"The certificate {each.arn} was", each.answer)
            case NotFound():
                yield Finding(
                    level=Level.ERROR,
                    code="certificate-not-found",
                    message=f"There is no certificate {each.arn} in {region}.",
                    remedy="request or import one there, or name one of: "
                    f"aws acm list-certificates --region {region}",
                )
            case CertificateRecord():
                yield from _judge_state(each.arn, each.answer, each.asked, region)


def _judge_state(arn: str, record: CertificateRecord, asked: datetime, region: str) -> Iterator[Finding]:
    state = EXPIRED if record.until is not None and record.until <= asked else record.status
    if state != USABLE:
        yield Finding(
            level=Level.ERROR,
            code="certificate-not-usable",
            message=f"The certificate {arn} is {state}; a load balancer takes one that is {USABLE}.",
            remedy=f"see why with aws acm describe-certificate --certificate-arn {arn} --region {region}, "
            "or name another one",
        )
