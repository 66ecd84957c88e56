"""Two hosts behind one address: constant load while a version switches, a host is lost, and all goes back."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.artifacts.serve.open_loop import AT_ONCE, KeptConnections, OpenLoop
from tests.emulation.laptop import REGION
from tests.provisioning.emulator.emulated import eventually

if TYPE_CHECKING:
    from tests.emulation.laptop import Laptop

EM = ("--emulate", "--region", REGION)
X = {"inputs": {"x": [[1.0, 2.0, 3.0, 4.0]]}}

# Hosts wait for the balancer to notice, as on AWS: each switch takes half a minute.
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]


def own_certificate(laptop: Laptop) -> str:
    """Give the account a certificate of our own making, as a person imports one; return its ARN."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=models.internal", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=laptop.folder, check=True, capture_output=True)
    return laptop.type(
        *("aws", "acm", "import-certificate", "--certificate", "fileb://certificate.pem"),
        *("--private-key", "fileb://key.pem", "--query", "CertificateArn", "--output", "text"),
        env=laptop.keys(),
    ).ok().out.strip()  # fmt: skip


def status(laptop: Laptop) -> Any:
    (balancer,) = laptop.amazonei("status", *EM, "--output", "json").ok().document["balancers"]
    return balancer


def outputs(answers: list[bytes]) -> list[float]:
    """Return what the first number came back as, in the order of the answers."""
    return [json.loads(answer)["outputs"]["output"][0][0] for answer in answers]


def test_no_request_fails_while_versions_switch_and_a_host_is_lost(laptop: Laptop) -> None:
    laptop.write_job("balanced", "c7i.xlarge")
    laptop.amazonei("emulator", "start").ok()
    certificate = own_certificate(laptop)
    before = laptop.account()
    first, second = laptop.compiled(0.5), laptop.compiled(3.0)
    made = laptop.amazonei(
        "setup", *EM, "--accelerator", "c7i.xlarge", "--count", "2", "--certificate", certificate,
        "--max-count", "4", "--requests-per-minute", "600", "--yes", "--output", "json",
    ).ok().document["outputs"]  # fmt: skip
    assert status(laptop)["healthy"] == 0  # nobody shipped anything: the group leaves such hosts alone
    laptop.amazonei("ship", str(first), *EM).ok()
    assert (status(laptop)["url"], status(laptop)["healthy"]) == (made["BalancerUrl"], 2)

    trust = ssl.create_default_context(cafile=str(laptop.folder / "certificate.pem"))
    place = urlsplit(made["BalancerUrl"])

    def connection() -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(str(place.hostname), place.port, timeout=60, context=trust)

    kept = KeptConnections(connection, json.dumps(X).encode())
    clients = OpenLoop(kept, rate=20)
    with closing(kept), clients.sending():
        eventually(lambda: len(clients.answers) > 20)
        laptop.amazonei("ship", str(second), *EM).ok()
        switched = len(clients.answers)
        (lost, _) = status(laptop)["hosts"]
        laptop.type(
            *("aws", "autoscaling", "terminate-instance-in-auto-scaling-group", "--instance-id", lost),
            "--no-should-decrement-desired-capacity",
            env=laptop.keys(),
        ).ok()
        eventually(
            lambda: lost not in (found := status(laptop))["hosts"] and found["healthy"] == 2, within_s=300
        )
        healed = len(clients.answers)
        laptop.amazonei("ship", "--rollback", *EM).ok()
    assert clients.failures == []
    numbers = outputs(clients.answers)
    assert numbers[0] == 0.5
    assert {0.5, 3.0} == set(numbers)
    assert set(numbers[switched + AT_ONCE : healed]) == {3.0}
    assert numbers[-1] == 0.5

    laptop.amazonei("teardown", *EM, "--yes").ok()
    assert laptop.amazonei("audit", *EM).code == 0
    assert laptop.account() == before
    with pytest.raises(OSError, match="refused"):
        connection().connect()
