"""What preflight says of a balancer's certificate, asked of a Certificate Manager that answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from provisioning.aws import Credentials, connect
from provisioning.certificates import judge_certificates, observe_certificates
from provisioning.preflight import judge, observe
from stacks.settings import parse_deployment
from tests.provisioning.emulator.certificates import import_certificate
from tests.provisioning.emulator.emulated import REGION
from tests.stacks.specs import BALANCED, CERTIFICATE

if TYPE_CHECKING:
    from provisioning.aws import Aws
    from provisioning.emulator.state import Running


@pytest.fixture
def edge(running: Running) -> Aws:
    keys = Credentials(access_key=running.access_key, secret_key=running.secret_key)
    return connect(REGION, endpoint_url=running.endpoint_url, credentials=keys)


@pytest.fixture
def acm(running: Running) -> Any:
    session = boto3.Session(running.access_key, running.secret_key, region_name=REGION)
    return session.client("acm", endpoint_url=running.endpoint_url)


def found(edge: Aws, certificate: str) -> dict[str, str]:
    """Return what stands against a deployment with this certificate, by code."""
    document = {"region": REGION, "targets": [BALANCED | {"certificate": certificate}]}
    spec = parse_deployment(document)
    return {each.code: each.message for each in judge(spec, observe(edge, spec))}


def test_a_certificate_that_is_there_and_valid_stands_against_nothing(edge: Aws, acm: Any) -> None:
    assert found(edge, import_certificate(acm)) == {}


def test_one_that_is_not_in_the_region_is_found_before_anything_is_made(edge: Aws) -> None:
    told = found(edge, CERTIFICATE)
    assert told == {"certificate-not-found": f"There is no certificate {CERTIFICATE} in {REGION}."}


def test_one_whose_owner_has_not_proven_the_name_is_not_usable_yet(edge: Aws, acm: Any) -> None:
    asked = acm.request_certificate(DomainName="models.example.org", ValidationMethod="DNS")
    told = found(edge, asked["CertificateArn"])
    assert "is PENDING_VALIDATION; a load balancer takes one that is ISSUED" in told["certificate-not-usable"]


def test_one_that_has_expired_by_the_clock_is_not_usable_whatever_its_status(edge: Aws, acm: Any) -> None:
    (observed,) = observe_certificates(edge, [import_certificate(acm, lasting=timedelta(days=2))])
    later = [replace(observed, asked=observed.asked + timedelta(days=days)) for days in (1, 3)]
    (finding,) = judge_certificates(later, REGION)
    assert f"{observed.arn} is EXPIRED" in finding.message
    assert f"--certificate-arn {observed.arn} --region {REGION}" in finding.remedy
