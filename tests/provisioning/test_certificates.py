"""A balancer's certificate is looked at before anything is made; who may not look is warned."""

from __future__ import annotations

import pytest

from provisioning.aws.acm import Acm, CertificateRecord
from provisioning.certificates import judge_certificates, observe_certificates
from provisioning.errors import AccessDenied, AwsUnreachable
from provisioning.findings import Level
from tests.provisioning.declared import declare_aws
from tests.stacks.specs import CERTIFICATE


class DeclaredAcm(Acm):
    """Certificates that are all answered in the same way."""

    def __init__(self, answer: CertificateRecord | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def certificate(self, arn: str) -> CertificateRecord:
        self.asked.append(arn)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_who_may_not_look_is_warned_and_told_what_to_allow() -> None:
    aws = declare_aws().aws
    call = "acm:DescribeCertificate"
    aws.acm = DeclaredAcm(AccessDenied(f"{call} was answered AccessDeniedException: no", operation=call))
    (found,) = judge_certificates(observe_certificates(aws, [CERTIFICATE]), "us-west-2")
    assert (found.level, found.code) == (Level.WARNING, "certificate-unknown")
    assert found.message.startswith(f"The certificate {CERTIFICATE} was not checked: {call} was answered")
    assert found.remedy.startswith(f"allow {call};")


def test_another_error_than_a_refusal_stops() -> None:
    aws = declare_aws().aws
    aws.acm = DeclaredAcm(AwsUnreachable("nobody there"))
    with pytest.raises(AwsUnreachable):
        observe_certificates(aws, [CERTIFICATE])


@pytest.mark.parametrize(
    "status",
    ["PENDING_VALIDATION", "INACTIVE", "EXPIRED", "VALIDATION_TIMED_OUT", "REVOKED", "FAILED"],
)
def test_every_state_but_issued_blocks(status: str) -> None:
    aws = declare_aws().aws
    aws.acm = DeclaredAcm(CertificateRecord(status=status, until=None))
    (found,) = judge_certificates(observe_certificates(aws, [CERTIFICATE]), "us-west-2")
    assert (found.blocks, found.code) == (True, "certificate-not-usable")
    assert f"is {status};" in found.message


def test_a_certificate_of_two_groups_is_asked_for_once() -> None:
    aws = declare_aws().aws
    aws.acm = acm = DeclaredAcm(CertificateRecord(status="ISSUED", until=None))
    assert list(judge_certificates(observe_certificates(aws, [CERTIFICATE] * 2), "us-west-2")) == []
    assert acm.asked == [CERTIFICATE]
