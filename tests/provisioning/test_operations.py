from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from artifacts.errors import BadRequest
from artifacts.serve.bundle import build_bundle
from artifacts.serve.requests import InvokeRequest
from provisioning.benchmarking import invoke, read_body
from provisioning.deployment import Deployment, observe_deployment
from provisioning.errors import AccessDenied, HostFailed, NotFound
from provisioning.operations import Operation, operate
from provisioning.shipping import Package, open_package, upload
from tests.provisioning.declared import declare_aws
from tests.provisioning.operated import TAGS, World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world() -> World:
    return World()


def operation(name: str = "invoke") -> Operation:
    return Operation(name=name, request=InvokeRequest(id="a" * 32, body={"random": 1}), timeout_s=60)


def test_a_command_carries_digests_and_nothing_a_person_typed(world: World) -> None:
    world.declared.ssm.declare_agent("i-1")
    world.answers({"ok": True, "n": 1})
    assert operate(world.calls, "c7i.xlarge", operation()) == {"i-1": {"ok": True, "n": 1}}

    (sent,) = world.declared.ssm.sent
    request = operation().request.canonical()
    digest = hashlib.sha256(request).hexdigest()
    bundle = hashlib.sha256(build_bundle()).hexdigest()
    assert sent.parameters == {
        "Bucket": "box",
        "Bundle": bundle,
        "Operation": "invoke",
        "Request": digest,
        "ExecutionTimeout": "60",
    }
    assert world.bucket.objects[f"artifacts/requests/{digest}.json"] == request
    assert f"artifacts/bundles/{bundle}.zip" in world.bucket.objects


def test_the_host_code_is_sent_once(world: World) -> None:
    world.declared.ssm.declare_agent("i-1")
    world.answers({"ok": True})
    for _ in range(2):
        operate(world.calls, "c7i.xlarge", operation())
    assert len([key for key in world.bucket.puts if key.startswith("artifacts/bundles/")]) == 1


def test_what_the_host_refuses_is_told_in_its_own_words(world: World) -> None:
    world.declared.ssm.declare_agent("i-1", "Failed", code=1)
    world.answers({"ok": False, "error": {"code": "x", "message": "Nothing is served.", "hint": "ship"}})
    with pytest.raises(HostFailed) as caught:
        operate(world.calls, "c7i.xlarge", operation())
    assert caught.value.message == "invoke failed on i-1: Nothing is served."
    assert (caught.value.hint, caught.value.aws_code) == ("ship", "x")


def test_a_host_without_a_response_is_told_with_the_end_of_its_output(world: World) -> None:
    stderr = "\n".join(f"line {number}" for number in range(9))
    world.declared.ssm.declare_agent("i-1", "Failed", code=137, stderr=stderr)
    with pytest.raises(HostFailed) as caught:
        operate(world.calls, "c7i.xlarge", operation("install"))
    assert "install on i-1 ended Failed (exit 137) without a response" in caught.value.message
    assert "line 8" in caught.value.message
    assert "line 3" not in caught.value.message


OUTPUT = f"results/{'a' * 32}/output"
WHOLE = "".join(f"line {number}\n" for number in range(20_000)) + "ImportError: libnrt.so.1"


def failing(world: World, status: str = "Failed", stderr: str = WHOLE) -> str:
    """Let the host fail, and return where it puts its error output: SSM shows the first 8,000 characters."""
    world.declared.ssm.declare_agent("i-1", status, code=1, stderr=stderr[:8000])
    return f"{OUTPUT}/command-1/i-1/awsrunShellScript/host/stderr"


def told(world: World) -> HostFailed:
    with pytest.raises(HostFailed) as caught:
        operate(world.calls, "c7i.xlarge", operation("install"))
    return caught.value


def test_hosts_put_their_whole_output_below_the_request_s_results(world: World) -> None:
    world.declared.ssm.declare_agent("i-1")
    world.answers({"ok": True})
    operate(world.calls, "c7i.xlarge", operation())
    (sent,) = world.declared.ssm.sent
    assert (sent.output_bucket, sent.output_prefix) == ("box", OUTPUT)
    assert not [key for _, key, _ in world.bucket.requests if key.startswith(OUTPUT)]  # it is not read


@pytest.mark.parametrize("status", ["Failed", "ExecutionTimedOut"])
def test_the_end_of_an_error_output_that_ssm_cuts_comes_from_the_bucket(world: World, status: str) -> None:
    world.bucket.objects[failing(world, status)] = WHOLE.encode()
    error = told(world)
    assert error.message.endswith("line 19999\nImportError: libnrt.so.1")
    asked = [(verb, key) for verb, key, _ in world.bucket.requests if key.startswith(OUTPUT)]
    assert [verb for verb, _ in asked] == ["LIST", "GET"]


def test_where_the_whole_output_is_told_to_a_person_who_wants_it(world: World) -> None:
    failing(world)
    assert told(world).hint == f"The host's whole output: s3://box/{OUTPUT}/"


def test_an_error_output_that_ssm_shows_whole_is_not_fetched(world: World) -> None:
    world.bucket.objects[failing(world, stderr="short")] = b"another"
    assert told(world).message.endswith(":\nshort")
    assert not [key for _, key, _ in world.bucket.requests if key.startswith(OUTPUT)]


def test_an_output_that_cannot_be_read_does_not_hide_that_the_host_failed(world: World) -> None:
    failing(world)  # and nothing in the bucket
    last = WHOLE[:8000].splitlines()[-1]
    assert told(world).message.endswith(last)

    def refused(key: str) -> None:
        if key.endswith("/stderr"):
            raise AccessDenied("You may not read.")

    world.bucket.objects[failing(world)] = b""
    world.bucket.respond = refused
    assert told(world).message.endswith(last)


def test_an_answer_says_who_gave_it_and_that_it_is_emulated(world: World) -> None:
    world.declared.ssm.declare_agent("i-1")
    world.answers({"ok": True, "response": {"outputs": {"y": [1]}}, "digest": "d", "latency_ms": 2.5})
    assert invoke(world.calls, "c7i.xlarge", {"random": 1}) == {
        "outputs": {"y": [1]},
        "accelerator": "c7i.xlarge",
        "digest": "d",
        "latency_ms": 2.5,
        "emulated": True,
    }


ANSWER = {"ok": True, "response": {"outputs": {"y": [1]}}, "digest": "d", "latency_ms": 2.5}
NOTHING = {"ok": False, "error": {"code": "x", "message": "Nothing is served.", "hint": "ship"}}


def two_hosts(world: World, *first: str, second: str) -> None:
    world.declared.ec2.declare_host("i-2", TAGS)
    world.declared.ssm.declare_agent("i-1", *first, code=2)
    world.declared.ssm.declare_agent("i-2", second, code=2)
    world.calls = world.with_hosts()


@pytest.mark.parametrize("ended", ["Failed", "DeliveryTimedOut", "ExecutionTimedOut"])
def test_one_host_that_answers_is_enough_to_invoke(world: World, ended: str) -> None:
    two_hosts(world, ended, second="Success")
    world.bucket.respond = lambda key: json.dumps(NOTHING if "i-1" in key else ANSWER).encode()
    assert invoke(world.calls, "c7i.xlarge", {"random": 1})["outputs"] == {"y": [1]}
    assert world.said[-1] == "1 of 2 hosts gave no answer"


def test_where_no_host_answers_the_first_one_s_reason_is_told(world: World) -> None:
    two_hosts(world, "Failed", second="Failed")
    world.answers(NOTHING)
    with pytest.raises(HostFailed) as caught:
        invoke(world.calls, "c7i.xlarge", {"random": 1})
    assert caught.value.message == "invoke failed on i-1: Nothing is served.\n(2 of 2 hosts failed.)"


def test_where_no_host_was_reached_the_command_s_end_is_told(world: World) -> None:
    two_hosts(world, "DeliveryTimedOut", second="DeliveryTimedOut")
    with pytest.raises(HostFailed, match="The command ended DeliveryTimedOut on i-1"):
        invoke(world.calls, "c7i.xlarge", {"random": 1})


def package(path: Path) -> Package:
    path.write_bytes(b"12345")
    return Package(path=path, size=5, digest="d", accelerator="c7i.xlarge", name="net", lane="trace")


def test_an_artifact_is_uploaded_once(world: World, tmp_path: Path) -> None:
    made = package(tmp_path / "net.aei")
    assert upload(world.calls, made).objects == 2  # its piece, and the recipe that commits it
    assert upload(world.calls, made).objects == 0
    assert world.said[-1] == "artifacts/models/d.recipe is in the bucket already"


def test_there_is_no_package_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="There is no artifact"):
        open_package(tmp_path / "nothing.aei")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[1]", 'has no "inputs"'),
        ('{"inputs": 3}', 'has no "inputs"'),
        ("", "is not JSON"),
    ],
)
def test_a_request_that_is_none_is_refused_before_a_host_is_asked(
    tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "request.json"
    path.write_text(content)
    with pytest.raises(BadRequest, match=said):
        read_body(path, None)
    with pytest.raises(BadRequest, match=f"standard input {said}"):
        read_body(None, None, content)


def test_a_request_comes_from_a_file_from_stdin_or_from_chance(tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text('{"inputs": {"x": [1]}}')
    assert read_body(path, None) == read_body(None, None, path.read_text()) == {"inputs": {"x": [1]}}
    assert read_body(None, 7) == {"random": 7}
    with pytest.raises(BadRequest, match="Nothing to send"):
        read_body(None, None)
    with pytest.raises(BadRequest, match="cannot be read: No such file"):
        read_body(tmp_path / "none.json", None)


def deployment(*accelerators: str) -> Deployment:
    aws = declare_aws()
    hosts = tuple(
        aws.ec2.declare_host(f"i-{number}", TAGS | {"amazonei:accelerator": name})
        for number, name in enumerate(accelerators)
    )
    return Deployment(name="demo", stacks=(), bucket="box", document="doc", hosts=hosts)


def test_the_only_accelerator_need_not_be_named() -> None:
    assert deployment("c7i.xlarge", "c7i.xlarge").choose(None) == "c7i.xlarge"
    assert deployment("c7i.xlarge", "m5.xlarge").choose("m5.xlarge") == "m5.xlarge"


@pytest.mark.parametrize(
    ("accelerators", "named", "said"),
    [
        (("c7i.xlarge", "m5.xlarge"), None, "has several accelerators"),
        (("c7i.xlarge",), "m5.xlarge", r"has no m5\.xlarge host"),
        ((), None, "has no hosts"),
    ],
)
def test_an_accelerator_that_is_not_clear_or_not_there_is_a_bad_request(
    accelerators: tuple[str, ...], named: str | None, said: str
) -> None:
    with pytest.raises(BadRequest, match=said):
        deployment(*accelerators).choose(named)


def test_a_deployment_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(NotFound, match="no deployment 'demo' in us-west-2"):
        observe_deployment(declare_aws().aws, "demo")
