"""The CDK's own command line against the embedded AWS: the door for people who live in the CDK."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from provisioning.aws import Credentials, connect
from provisioning.emulator import service
from stacks.node import packaged_node
from stacks.settings import parse_deployment, read_document
from stacks.synth import synthesize
from tests.stacks.jsii_packages import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from provisioning.emulator.service import Running

pytestmark = [pytest.mark.timeout(420), pytest.mark.enable_socket]

ROOT = Path(__file__).parents[2]
NPM = packaged_node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
PINNED = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["devDependencies"]["aws-cdk"]
REGION = "us-west-2"
SESSION = boto3.Session()  # one for all clients: it remembers the models of the services


@pytest.fixture(scope="session")
def cdk() -> Path:
    """The pinned command line, installed from the lock file into the build directory."""
    home = ROOT / "build" / "cdk-command-line"
    program = home / "node_modules" / "aws-cdk" / "bin" / "cdk"
    home.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(ROOT / name, home / name)
    manifest = program.parents[1] / "package.json"
    if not manifest.exists() or json.loads(manifest.read_text(encoding="utf-8"))["version"] != PINNED:
        done = subprocess.run(
            [packaged_node(), NPM, "ci", "--no-audit", "--no-fund"],
            cwd=home,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"npm cannot install the CDK's command line here: {done.stderr.strip()[-300:]}")
    return program


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    state = tmp_path_factory.mktemp("emulator")
    yield service.start(state)
    service.stop(state)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return checked_out(tmp_path)


def checked_out(folder: Path) -> Path:
    """What a person has who cloned this repository: the app, its settings and the rooms it imports."""
    for name in ("app.py", "cdk.json", "amazonei.toml"):
        shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def synthesized(cdk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which `cdk synth` has run, without an account."""
    folder = checked_out(tmp_path_factory.mktemp("synthesized"))
    run(cdk, folder, {}, "synth", "-q")
    return folder


def run(cdk: Path, checkout: Path, environment: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(
        [packaged_node(), cdk, *words],
        cwd=checkout,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(checkout),
            "PYTHONPATH": str(ROOT),
            "CI": "true",
            "CDK_DISABLE_VERSION_CHECK": "1",
            **KEPT,
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_lock_file_pins_one_command_line_and_names_no_registry() -> None:
    lock = (ROOT / "package-lock.json").read_text(encoding="utf-8")
    assert json.loads(lock)["packages"]["node_modules/aws-cdk"]["version"] == PINNED == "2.1148.1"
    assert "http" not in lock


def test_cdk_synth_writes_the_bytes_that_setup_deploys(synthesized: Path) -> None:
    (stack,) = synthesize(parse_deployment(read_document(synthesized / "amazonei.toml")))
    written = (synthesized / "cdk.out" / f"{stack.name}.template.json").read_text(encoding="utf-8")
    assert written == stack.body
    manifest = (synthesized / "cdk.out" / "manifest.json").read_text(encoding="utf-8")
    deployed = json.loads(manifest)["artifacts"][stack.name]["properties"]
    assert not [key for key in deployed if "role" in key.lower() or "asset" in key.lower()]


def test_cdk_deploy_and_destroy_leave_nothing(cdk: Path, checkout: Path, emulator: Running) -> None:
    environment = service.environment(emulator, REGION)
    baseline = inventory(environment)
    run(cdk, checkout, environment, "deploy", "--require-approval", "never")
    made = inventory(environment)
    assert [name for name in made if made[name] == baseline[name]] == []
    written = ("--app", "cdk.out")  # what deploy has synthesised
    assert "There were no differences" in run(cdk, checkout, environment, "diff", *written)
    run(cdk, checkout, environment, "destroy", "--force")
    assert inventory(environment) == baseline


@pytest.mark.nightly
def test_teardown_removes_what_the_cdk_deployed(cdk: Path, checkout: Path, emulator: Running) -> None:
    environment = service.environment(emulator, REGION)
    baseline = inventory(environment)
    run(cdk, checkout, environment, "deploy", "--require-approval", "never", "-c", "name=by-cdk")
    keys = Credentials(access_key=emulator.access_key, secret_key=emulator.secret_key)
    aws = connect(REGION, endpoint_url=emulator.endpoint_url, credentials=keys)
    assert [stack.name for stack in aws.cloudformation.list_stacks_of("by-cdk")] == ["by-cdk"]
    amazonei(checkout, environment, "teardown", "--name", "by-cdk", "--yes")
    assert inventory(environment) == baseline


def test_a_dry_run_of_setup_shows_the_bytes_that_cdk_synth_writes(
    synthesized: Path, emulator: Running
) -> None:
    environment = service.environment(emulator, REGION)
    plan = json.loads(amazonei(synthesized, environment, "setup", "--dry-run", "--output", "json"))
    shown = {stack["name"]: stack["template"] for stack in plan["stacks"]}
    written = (synthesized / "cdk.out" / "amazonei.template.json").read_text(encoding="utf-8")
    assert shown["amazonei"] == written


def amazonei(checkout: Path, environment: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("amazonei"), *words],
        env={**os.environ, **environment, **KEPT, "HOME": str(checkout)},
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def inventory(environment: Mapping[str, str]) -> dict[str, object]:
    """What AWS itself says is there, asked without our own audit."""

    def client(name: str) -> Any:
        return SESSION.client(
            name,  # type: ignore[call-overload]
            region_name=REGION,
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    ec2, iam, s3, ssm, stacks = map(client, ("ec2", "iam", "s3", "ssm", "cloudformation"))
    live = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    return {
        "stacks": sorted(it["StackName"] for it in stacks.describe_stacks()["Stacks"]),
        "instances": len(ec2.describe_instances(Filters=live)["Reservations"]),
        "vpcs": len(ec2.describe_vpcs()["Vpcs"]),
        "subnets": len(ec2.describe_subnets()["Subnets"]),
        "endpoints": len(ec2.describe_vpc_endpoints()["VpcEndpoints"]),
        "groups": len(ec2.describe_security_groups()["SecurityGroups"]),
        "roles": len(iam.list_roles()["Roles"]),
        "profiles": len(iam.list_instance_profiles()["InstanceProfiles"]),
        "buckets": len(s3.list_buckets()["Buckets"]),
        "documents": len(
            ssm.list_documents(Filters=[{"Key": "Owner", "Values": ["Self"]}])["DocumentIdentifiers"]
        ),
    }
