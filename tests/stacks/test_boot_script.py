from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from artifacts.serve.document import bootstrap_script
from stacks.balancing import BalancerSpec
from stacks.boot import LIMIT_BYTES, user_data
from stacks.spec import HostSpec

if TYPE_CHECKING:
    from pathlib import Path

HOST = HostSpec(
    accelerator="inf2.xlarge",
    instance_type="inf2.xlarge",
    image_parameter="/aws/service/neuron/image_id",
    interpreter="/opt/venv/bin/python",
)
# What a host has and the machine of a test must not use; each one only writes down that it was called.
PRIVILEGED = ("systemd-run", "systemctl", "useradd", "dnf", "curl")
TOOLS = ("basename", "cat", "grep", "mkdir", "mv", "rm", "sed")
RECORD = 'echo "$(basename "$0") $*" >>"$CALLS"\n'
METADATA = """case "$*" in
*"-X PUT"*"ttl-seconds"*) printf token-1 ;;
*"metadata-token: token-1"*/meta-data/instance-id) printf i-0123456789abcdef0 ;;
*) exit 22 ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A directory that a host boots in, with nothing but tools and fakes on its PATH."""

    root: Path

    def fake(self, name: str, script: str) -> None:
        program = self.root / "bin" / name
        program.unlink(missing_ok=True)
        program.write_text(f"#!/bin/sh\n{RECORD}{script}", encoding="utf-8")
        program.chmod(0o755)

    def boot(
        self, host: HostSpec = HOST, bucket: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        script = self.root / "user-data"
        text = user_data(deployment="bench", host=host, ttl_s=5400, bucket=bucket)
        script.write_text(text, encoding="utf-8")
        return subprocess.run(
            ["/bin/sh", script],
            env={
                "PATH": str(self.root / "bin"),
                "AMAZONEI_HOME": str(self.home),
                "CALLS": str(self.root / "calls"),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def home(self) -> Path:
        return self.root / "home of the host"

    @property
    def calls(self) -> list[str]:
        log = self.root / "calls"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    @property
    def facts(self) -> object:
        return json.loads((self.home / "host.json").read_text(encoding="utf-8"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "bin").mkdir()
    for name in TOOLS:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or name)
    machine = Machine(root=tmp_path)
    for name in PRIVILEGED:
        machine.fake(name, "")
    machine.fake("curl", METADATA)
    machine.fake("id", 'if [ "$1" = -u ]; then echo 0; else exit 1; fi\n')
    return machine


def test_an_emulated_host_writes_its_facts_and_touches_nothing_else(machine: Machine) -> None:
    done = machine.boot(
        AMAZONEI_EMULATED="1", AMAZONEI_INSTANCE_ID="i-0feed", AMAZONEI_PYTHON="/venv/bin/python"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.facts == {
        "accelerator": "inf2.xlarge",
        "deployment": "bench",
        "instance_id": "i-0feed",
        "interpreter": "/venv/bin/python",
    }
    assert not [call for call in machine.calls if call.startswith(PRIVILEGED)]


def test_a_real_host_arms_its_expiry_before_anything_else(machine: Machine) -> None:
    assert machine.boot().returncode == 0
    assert machine.calls[0] == ("systemd-run --unit=amazonei-expiry --on-active=5400s systemctl poweroff")


def test_a_host_behind_a_balancer_knows_that_it_is(machine: Machine) -> None:
    certificate = "arn:aws:acm:us-west-2:123456789012:certificate/0a1b2c3d"
    balanced = dataclasses.replace(HOST, count=2, balancer=BalancerSpec(certificate=certificate))
    assert machine.boot(host=balanced).returncode == 0
    facts = machine.facts
    assert isinstance(facts, dict)
    assert (facts["balanced"], facts["accelerator"]) == (1, "inf2.xlarge")


def test_a_real_host_asks_for_its_id_with_a_token(machine: Machine) -> None:
    assert machine.boot().returncode == 0
    assert machine.facts == {
        "accelerator": "inf2.xlarge",
        "deployment": "bench",
        "instance_id": "i-0123456789abcdef0",
        "interpreter": "/opt/venv/bin/python",
    }


def test_a_real_host_gets_an_unprivileged_user(machine: Machine) -> None:
    assert machine.boot().returncode == 0
    assert [call for call in machine.calls if call.startswith("useradd")] == [
        f"useradd --system --home-dir {machine.home} --shell /usr/sbin/nologin amazonei"
    ]


def test_a_host_that_cannot_learn_its_id_still_expires(machine: Machine) -> None:
    machine.fake("curl", "exit 7\n")
    assert machine.boot().returncode != 0
    assert machine.calls[0].startswith("systemd-run ")
    assert not (machine.home / "host.json").exists()


def test_amazon_linux_without_its_interpreter_installs_python(machine: Machine) -> None:
    machine.fake("grep", "exit 0\n")  # /etc/os-release says Amazon Linux
    assert machine.boot().returncode == 0
    assert "dnf -y -q install python3.11" in machine.calls


def test_amazon_linux_with_its_interpreter_installs_nothing(machine: Machine) -> None:
    machine.fake("grep", "exit 0\n")
    present = dataclasses.replace(HOST, interpreter="/bin/sh")
    assert machine.boot(present).returncode == 0
    assert not [call for call in machine.calls if call.startswith("dnf")]


def test_what_a_host_is_called_is_never_program_text(machine: Machine) -> None:
    hostile = dataclasses.replace(HOST, interpreter='/o\'p"t\\x/$(mkdir "$AMAZONEI_HOME/owned")')
    assert machine.boot(hostile, AMAZONEI_EMULATED="1", AMAZONEI_INSTANCE_ID="i-0feed").returncode == 0
    assert isinstance(machine.facts, dict)
    assert machine.facts["interpreter"] == hostile.interpreter
    assert sorted(path.name for path in machine.home.iterdir()) == ["host.json"]


# Answers like the `aws` command with what is in the folder; and a shell that only notes what it is given.
FROM_FOLDER = """while [ $# -gt 1 ]; do [ "$1" = --key ] && key=$2; shift; done
[ -f "$BUCKET/$key" ] || exit 254
cat "$BUCKET/$key" >"$1"
"""
GIVEN = (
    'echo "$SSM_Bucket $SSM_Operation $SSM_Bundle $SSM_Request over ${AMAZONEI_ONLY_OVER-anything}'
    '${AMAZONEI_OUTSIDE:+, outside}" >>"$CALLS"\n'
)
PREVIOUS = json.dumps(
    {"digest": "e" * 64, "port": 8080}
)  # what the fleet served before, as the host notes it


@pytest.fixture
def of_a_fleet(machine: Machine) -> Machine:
    machine.fake("aws", FROM_FOLDER)
    machine.fake("sh", f"{GIVEN}printf '%s' '{PREVIOUS}' >\"$AMAZONEI_HOME/current.json\"\n")
    return machine


def served(machine: Machine, **versions: object) -> str:
    """Put what a fleet serves into its bucket, boot a new host, and return what was installed."""
    folder = machine.root / "bucket/artifacts/serving/inf2.xlarge"
    folder.mkdir(parents=True)
    for which, version in versions.items():
        (folder / f"{which}.json").write_text(json.dumps(version), encoding="utf-8")
    done = machine.boot(
        bucket="bench-artifacts",
        BUCKET=str(machine.root / "bucket"),
        AMAZONEI_EMULATED="1",
        AMAZONEI_INSTANCE_ID="i-0feed",
    )
    assert (done.returncode, done.stderr) == (0, "")
    return "\n".join(call for call in machine.calls if call.startswith("bench-artifacts install"))


def test_a_new_host_installs_what_its_fleet_serves_and_before_it_what_that_goes_back_to(
    of_a_fleet: Machine,
) -> None:
    installed = served(
        of_a_fleet,
        current={"bundle": "a" * 64, "manifest": "b" * 64, "request": "c" * 64},
        previous={"bundle": "d" * 64, "manifest": "e" * 64, "request": "f" * 64},
    )
    assert installed.splitlines() == [
        # Nobody is to get it any more: behind a load balancer this host is not in rotation yet.
        f"bench-artifacts install {'d' * 64} {'f' * 64} over , outside",
        # The host looks again once it has its lock: what a ship has switched by then stays.
        f"bench-artifacts install {'a' * 64} {'c' * 64} over {'e' * 64}",
    ]
    assert [call for call in of_a_fleet.calls if call.startswith("sh ")] == [
        f"sh {of_a_fleet.home}/bootstrap.sh"
    ] * 2
    written = (of_a_fleet.home / "bootstrap.sh").read_text(encoding="utf-8")
    assert written == bootstrap_script()


@pytest.mark.parametrize(
    "version", [{}, {"bundle": "a" * 64}, {"bundle": "A" * 64, "request": "$(reboot)"}, "nothing"]
)
def test_what_names_no_digests_installs_nothing(of_a_fleet: Machine, version: object) -> None:
    assert served(of_a_fleet, current=version) == ""
    assert sorted(path.name for path in of_a_fleet.home.iterdir()) == ["bootstrap.sh", "host.json"]


def test_what_somebody_ships_meanwhile_stays(of_a_fleet: Machine) -> None:
    newer = json.dumps({"digest": "9" * 64, "port": 8081})
    of_a_fleet.fake("sh", f"{GIVEN}printf '%s' '{newer}' >\"$AMAZONEI_HOME/current.json\"\n")
    installed = served(
        of_a_fleet,
        current={"bundle": "a" * 64, "manifest": "b" * 64, "request": "c" * 64},
        previous={"bundle": "d" * 64, "manifest": "e" * 64, "request": "f" * 64},
    )
    assert installed == f"bench-artifacts install {'d' * 64} {'f' * 64} over , outside"


def test_without_a_version_from_before_the_current_one_is_installed_over_nothing(of_a_fleet: Machine) -> None:
    installed = served(of_a_fleet, current={"bundle": "a" * 64, "manifest": "b" * 64, "request": "c" * 64})
    assert installed == f"bench-artifacts install {'a' * 64} {'c' * 64} over "


def test_a_host_of_a_fleet_that_serves_nothing_asks_once(of_a_fleet: Machine) -> None:
    assert served(of_a_fleet) == ""
    (asked,) = [call for call in of_a_fleet.calls if call.startswith("aws ")]
    assert "--bucket bench-artifacts --key artifacts/serving/inf2.xlarge/current.json" in asked


def test_a_host_of_no_group_asks_for_nothing(of_a_fleet: Machine) -> None:
    assert of_a_fleet.boot(AMAZONEI_EMULATED="1", AMAZONEI_INSTANCE_ID="i-0feed").returncode == 0
    assert [call for call in of_a_fleet.calls if call.startswith("aws ")] == []


def test_a_host_whose_installation_fails_is_prepared_all_the_same(of_a_fleet: Machine) -> None:
    of_a_fleet.fake("sh", "exit 5\n")
    served(of_a_fleet, current={"bundle": "a" * 64, "request": "c" * 64})
    assert of_a_fleet.facts


def test_user_data_is_recognised_and_fits() -> None:
    script = user_data(deployment="bench", host=HOST, ttl_s=5400, bucket="b" * 63)
    assert script.splitlines()[:2] == ["#!/bin/sh", "# amazonei host"]
    assert len(script.encode()) < LIMIT_BYTES
