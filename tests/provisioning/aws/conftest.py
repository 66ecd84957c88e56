from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import boto3
import pytest
from botocore.stub import Stubber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class StubService(Protocol):
    def __call__(self, service: str) -> tuple[Any, Stubber]: ...


@pytest.fixture(autouse=True)
def no_developer_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def session() -> boto3.Session:
    """One for all tests: it remembers the models of the services, and EC2's takes a second to read."""
    return boto3.Session("testing", "testing", region_name="us-west-2")


@pytest.fixture
def stub(session: boto3.Session) -> Iterator[StubService]:
    """Return (client, stubber) for a service; every planned answer must have been asked for."""
    stubbers: list[Stubber] = []
    make_client: Callable[..., Any] = session.client

    def make(service: str) -> tuple[Any, Stubber]:
        client = make_client(service)
        stubber = Stubber(client)
        stubber.activate()
        stubbers.append(stubber)
        return client, stubber

    yield make
    for stubber in stubbers:
        stubber.assert_no_pending_responses()
