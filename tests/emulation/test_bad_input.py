"""What cannot be right ends with one message, a hint, the right exit code, no traceback, and nothing made."""

from __future__ import annotations

import json
import socketserver
import threading
from typing import TYPE_CHECKING

import pytest

from tests.emulation.laptop import MODEL, Laptop

if TYPE_CHECKING:
    from collections.abc import Iterator

HALVE = ("--input", "x=float32[2,4]", "--target", "c7i.xlarge")
NOBODY = "http://127.0.0.1:1"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


class CountingEndpoint(socketserver.ThreadingTCPServer):
    """An AWS that only counts who calls."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.calls = 0

    def process_request(self, request: object, client_address: object) -> None:
        self.calls += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def endpoint() -> Iterator[CountingEndpoint]:
    with CountingEndpoint() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A laptop on which no emulator is started: these commands must not need one."""
    machine = Laptop(tmp_path_factory.mktemp("desk"))
    files = {
        "model.py": MODEL,
        "boom.py": "raise RuntimeError('boom')\n",
        "unknown.toml": 'nmae = "x"\n',
        "broken.toml": "a = = b\n",
        "folder.toml": '[model]\nsource = "model.py:halve"\n[[targets]]\naccelrator = "c7i.xlarge"\n',
        "long.toml": '[model]\nsource = "model.py:halve"\n[benchmark]\nduration = 99999\n',
        "notes.aei": "not an archive",
        "results.json": "{}",
    }
    for name, text in files.items():
        (machine.folder / name).write_text(text)
    return machine


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (("setup", "--accelerator", "c7i.xlrage"), 2, "Did you mean c7i.xlarge"),
        (("setup", "--accelerator", "eia2.medium"), 2, "retired since 2024"),
        (("setup", "--ttl", "soon"), 2, "'soon' is not a duration"),
        (("setup", "--name", "Bad Name"), 2, "cannot name a deployment"),
        (("setup", "--region", "moon"), 2, "is not a region"),
        (("setup", "--count", "0"), 2, "--count"),
        (("setup", "--nonsense"), 2, "No such option"),
        (("run", "unknown.toml"), 2, "Did you mean 'name'?"),
        (("run", "broken.toml"), 2, "not valid TOML"),
        (("run", "missing.toml"), 2, "There is no file missing.toml"),
        (("run", "folder.toml"), 2, "Did you mean 'accelerator'?"),
        (
            ("compile", "model.py:halve", "--input", "banana[", "--target", "c7i.xlarge"),
            2,
            "not an input SPEC",
        ),
        (("compile", "model.py:halve", "--input", "float32[1]", "--target", "nope"), 2, "no target 'nope'"),
        (("compile", "missing.py:halve", *HALVE), 2, "There is no file missing.py"),
        (("compile", "boom.py:halve", *HALVE), 4, "RuntimeError: boom"),
        (("ship", "missing.aei"), 2, "There is no artifact missing.aei"),
        (("ship", "notes.aei"), 4, "cannot be opened as an artifact"),
        (("ship", "notes.aei", "--to", "sagemaker", "--wave", "50"), 2, "sagemaker does not take --wave."),
        (
            ("ship", "notes.aei", "--to", "sagemaker", "--workers", "2", "--batch", "4", "--no-wheelhouse"),
            2,
            "does not take --no-wheelhouse, --workers, --batch. Leave them out",
        ),
        (("ship", "--rollback", "--wheelhouse"), 2, "ship --rollback does not take --wheelhouse."),
        (("ship", "--rollback", "--resend", "--wave", "2"), 2, "does not take --wave, --resend."),
        (("verify", "notes.aei"), 4, "cannot be opened as an artifact"),
        (("rank", "missing.json"), 2, "There is no results file"),
        (("rank", "results.json"), 2, "not a results document"),
        (
            ("benchmark", "--mode", "mlperf", "--sweep", "--duration", "600"),
            2,
            "Pass --duration 336, or less",
        ),
        (("run", "long.toml"), 2, "a command on a host may take 99,999 s. Pass --duration"),
        (("invoke",), 2, "Nothing to send"),
        (("emulator", "env"), 2, "The embedded AWS is not running"),
        (("emulator", "nonsense"), 2, "No such command"),
        (("targets", "show", "inf9.huge"), 2, "no target 'inf9.huge'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_it_is_told_in_a_sentence_and_as_json_before_any_call(
    desk: Laptop, endpoint: CountingEndpoint, line: tuple[str, ...], code: int, words: str
) -> None:
    env = KEYS | {"AWS_REGION": "us-west-2", "AWS_ENDPOINT_URL": endpoint.url}
    ended = desk.amazonei(*line, "--output", "json", env=env)
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    error = ended.document["error"]
    assert set(error) == {"code", "message", "hint"}
    assert words in f"{error['message']} {error['hint']}"
    assert error["hint"]
    assert endpoint.calls == 0
    assert not (desk.folder / "state").exists()  # no emulator either


@pytest.mark.parametrize("command", ["setup", "status", "teardown", "audit"])
def test_an_endpoint_nobody_answers_at_is_told_once_and_soon(desk: Laptop, command: str) -> None:
    ended = desk.amazonei(command, "--region", "us-west-2", "--endpoint-url", NOBODY, env=KEYS)
    assert ended.code == 5
    assert ended.err.count("error:") == 1
    assert NOBODY in ended.err
    assert "--endpoint-url" in ended.err
    assert "Traceback" not in ended.err


def test_without_credentials_it_says_how_to_sign_in(desk: Laptop) -> None:
    ended = desk.amazonei("setup", "--region", "us-west-2", "--yes")
    assert ended.code == 5
    assert "no usable AWS credentials" in ended.err
    assert "aws configure" in ended.err


def test_a_retired_accelerator_is_allowed_on_no_real_aws(desk: Laptop) -> None:
    ended = desk.amazonei("setup", "--region", "us-west-2", "--accelerator", "eia2.medium", "--allow-retired")
    assert ended.code == 2  # and not 5: the credentials that are not there were never looked for
    assert "retired since 2024" in ended.err


def test_a_folder_that_cannot_be_written_is_named(desk: Laptop) -> None:
    (desk.folder / "taken").write_text("a file")
    ended = desk.amazonei("compile", "model.py:halve", *HALVE, "--out", "taken/here")
    assert ended.code == 2
    assert "taken" in ended.err
    assert "Traceback" not in ended.err


def test_nobody_at_the_keyboard_means_no(laptop: Laptop) -> None:
    asked = laptop.amazonei("setup", "--emulate", "--accelerator", "c7i.xlarge")
    assert asked.code == 2
    assert "Total: $" in asked.err  # the price was shown before the question
    assert "Pass --yes" in asked.err
    declined = laptop.amazonei("setup", "--emulate", "--accelerator", "c7i.xlarge", stdin="n\n")
    assert declined.code == 2
    status = laptop.amazonei("status", "--emulate", "--output", "json").ok()
    assert status.document["items"] == []


def test_a_budget_that_is_too_small_makes_nothing(laptop: Laptop) -> None:
    job = laptop.write_job("dear", "c7i.xlarge")
    ended = laptop.amazonei("run", "--emulate", job, "--budget", "0.01", "--output", "json")
    assert ended.code == 3
    assert "more than the $0.01 allowed" in ended.document["error"]["message"]
    assert "compiling" not in ended.err


def test_a_job_that_names_only_an_endpoint_has_nothing_to_compare_and_makes_nothing(laptop: Laptop) -> None:
    model = '[model]\nsource = "model.py:halve"\ninputs = ["x=float32[2,4]"]\n'
    endpoint = '[[endpoints]]\naccelerator = "c7i.xlarge"\n'
    (laptop.folder / "served.toml").write_text(f'name = "served"\nregion = "us-west-2"\n{model}{endpoint}')
    ended = laptop.amazonei("run", "--emulate", "served.toml", "--output", "json")
    assert ended.code == 2
    assert ended.document["error"]["message"] == "The configuration names no host to compare."
    assert "compiling" not in ended.err


def test_a_plan_is_one_document_and_makes_nothing(laptop: Laptop) -> None:
    wanted = ("--accelerator", "c7i.xlarge", "--accelerator", "inf2.xlarge")
    plan = laptop.amazonei("setup", "--emulate", "--dry-run", "--output", "json", *wanted).ok().document
    assert plan["hourly_usd"] == pytest.approx(sum(item["hourly"] for item in plan["items"]))
    assert any(json.loads(stack["template"])["Resources"] for stack in plan["stacks"])
    gone = laptop.amazonei("teardown", "--emulate", "--dry-run", "--output", "json").ok().document
    assert gone["steps"] == []


def test_what_the_person_has_set_for_aws_does_not_reach_the_embedded_one(laptop: Laptop) -> None:
    mine = {"AWS_PROFILE": "nobody", "HTTP_PROXY": NOBODY, "http_proxy": NOBODY, "AWS_REGION": "eu-west-1"}
    laptop.amazonei("emulator", "stop").ok()
    ended = laptop.amazonei("status", "--emulate", "--output", "json", env=mine).ok()
    assert ended.document["region"] == "eu-west-1"


def test_a_reader_that_leaves_early_is_no_error(desk: Laptop) -> None:
    ended = desk.type("sh", "-c", "amazonei prices --region us-west-2 | head -1").ok()
    assert ended.out.startswith("what")
    assert ended.err == ""
