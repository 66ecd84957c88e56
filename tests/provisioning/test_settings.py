from __future__ import annotations

import shlex

import pytest

from provisioning.settings import Settings, is_loopback, is_url

SETTINGS = Settings(name="bench", region="us-west-2")


def test_a_command_names_the_same_deployment_again() -> None:
    assert SETTINGS.command("teardown --yes") == "amazonei teardown --yes --name bench --region us-west-2"
    assert SETTINGS.of("other").command("status") == "amazonei status --name other --region us-west-2"


def test_a_command_reaches_the_same_place() -> None:
    emulated = Settings(name="a", region="r", emulate=True)
    elsewhere = Settings(name="a", region="r", profile="p", endpoint_url="http://x:1")
    assert emulated.command("status").endswith(" --emulate")
    assert elsewhere.command("status").endswith(" --profile p --endpoint-url http://x:1")


def test_a_command_can_be_pasted_into_a_shell() -> None:
    odd = Settings(name="a", region="r", profile="my profile; rm")
    assert "my profile; rm" in shlex.split(odd.command("run 'my job.toml'"))
    assert shlex.split(odd.command("run 'my job.toml'"))[2] == "my job.toml"


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:5000", True),
        ("http://127.0.0.1:1", True),
        ("http://[::1]:5000", True),
        ("https://localhost.example.com", False),
        ("https://ec2.amazonaws.com", False),
        (None, False),
    ],
)
def test_only_an_endpoint_of_this_machine_is_emulated(url: str | None, *, here: bool) -> None:
    assert is_loopback(url) is here
    assert Settings(name="a", region="r", endpoint_url=url).emulated is here


@pytest.mark.parametrize(
    ("text", "right"),
    [("http://x", True), ("https://x:1/y", True), ("x", False), ("localhost:1", False), ("http://", False)],
)
def test_an_endpoint_is_an_http_url_with_a_host(text: str, *, right: bool) -> None:
    assert is_url(text) is right
