from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from artifacts.errors import BadRequest
from provisioning.cli.options import Context, require_region, shared_options
from provisioning.settings import Output

if TYPE_CHECKING:
    from provisioning.settings import Settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def context(*arguments: str) -> Context:
    @click.command()
    @shared_options
    def command(context: Context) -> Context:
        return context

    found = command.main(list(arguments), standalone_mode=False)
    assert isinstance(found, Context)
    return found


def settings(*arguments: str) -> Settings:
    return context(*arguments).settings


def write(text: str, name: str = "amazonei.toml") -> None:
    Path(name).write_text(text)


def test_without_anything_said_there_is_a_name_and_no_region() -> None:
    found = settings()
    assert (found.name, found.region, found.output, found.config) == ("amazonei", "", Output.TEXT, None)
    with pytest.raises(BadRequest, match="No region"):
        require_region(found)


def test_the_embedded_aws_has_a_region_of_its_own() -> None:
    assert settings("--emulate").region == "us-west-2"


def test_the_command_line_beats_the_environment_that_beats_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('region = "eu-west-1"\nname = "filed"\n')
    assert (settings().region, settings().name) == ("eu-west-1", "filed")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert settings().region == "eu-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert settings().region == "eu-west-3"
    assert settings("--region", "us-east-1", "--name", "typed").region == "us-east-1"
    assert settings("--region", "us-east-1", "--name", "typed").name == "typed"


def test_the_file_in_the_working_directory_is_read_unless_another_is_named() -> None:
    write('ttl = "3h"\n')
    write('ttl = "5h"\n', "other.toml")
    assert context().document == {"ttl": "3h"}
    assert context("--config", "other.toml").document == {"ttl": "5h"}
    assert settings("--config", "other.toml").config == Path("other.toml")


def test_profile_and_endpoint_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "bench")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:5000")
    found = settings("--region", "us-west-2")
    assert (found.profile, found.endpoint_url, found.emulated) == ("bench", "http://localhost:5000", True)


def test_emulating_goes_to_no_endpoint_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://aws.example.com")
    assert settings("--emulate").endpoint_url is None


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ('nmae = "x"', "Unknown key 'nmae'", "'name'"),
        ("[modle]", "Unknown key 'modle'", "'model'"),
        ("[benchmark]\nslo = 3", "Unknown key 'slo' in [benchmark]", "'slo_ms'"),
        ("[model]\nsorce = 'x'", "Unknown key 'sorce' in [model]", "'source'"),
        ("[budget]\nmax = 3", "Unknown key 'max' in [budget]", "max_usd"),
        ("model = 3", "model must be a table", "[model]"),
        ("region = 5", "'region' is not a string", "region ="),
        ("a = = b", "not valid TOML", "line"),
        ('name = "Bad Name"', "'Bad Name' cannot name a deployment", "lower-case"),
        ('region = "moon"', "'moon' is not a region", "us-west-2"),
    ],
)
def test_a_file_that_cannot_be_right_stops_every_command(text: str, said: str, hint: str) -> None:
    write(text)
    with pytest.raises(BadRequest) as caught:
        context()
    assert said in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--name", "../etc"), "cannot name a deployment"),
        (("--region", "us west"), "is not a region"),
        (("--endpoint-url", "localhost:5000"), "is not the URL of an endpoint"),
        (("--config", "missing.toml"), "There is no file missing.toml"),
    ],
)
def test_an_option_that_cannot_be_right_stops_every_command(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        context(*arguments)
