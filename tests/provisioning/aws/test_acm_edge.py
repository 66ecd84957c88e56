from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from provisioning.aws.acm import Acm, CertificateRecord
from provisioning.errors import AccessDenied, NotFound
from tests.stacks.specs import CERTIFICATE

if TYPE_CHECKING:
    from tests.provisioning.aws.conftest import StubService

UNTIL = datetime(2027, 11, 21, tzinfo=UTC)


def test_the_edge_says_whether_a_certificate_can_be_used_and_until_when(stub: StubService) -> None:
    client, stubber = stub("acm")
    for facts in ({"Status": "ISSUED", "NotAfter": UNTIL}, {"Status": "PENDING_VALIDATION"}):
        asked = {"CertificateArn": CERTIFICATE}
        stubber.add_response("describe_certificate", {"Certificate": facts}, asked)
    edge = Acm(client)
    assert edge.certificate(CERTIFICATE) == CertificateRecord(status="ISSUED", until=UNTIL)
    assert edge.certificate(CERTIFICATE) == CertificateRecord(status="PENDING_VALIDATION", until=None)


@pytest.mark.parametrize(
    ("code", "error"), [("ResourceNotFoundException", NotFound), ("AccessDeniedException", AccessDenied)]
)
def test_that_there_is_none_and_that_one_may_not_look_are_told_apart(
    stub: StubService, code: str, error: type[Exception]
) -> None:
    client, stubber = stub("acm")
    stubber.add_client_error("describe_certificate", code, "no")
    with pytest.raises(error, match="acm:DescribeCertificate was answered"):
        Acm(client).certificate(CERTIFICATE)
