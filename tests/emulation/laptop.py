"""A person's machine with the installed commands on it, an emulator of its own, and no AWS account."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BIN = Path(sys.executable).parent
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
REGION = "us-west-2"
# A model that compiles in the time torch takes to import.
MODEL = """
import torch

class Halve(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((4,), 0.5))

    def forward(self, x):
        return x * self.weight

def halve():
    return Halve().eval()
"""
JOB = """
name = "{name}"
region = "us-west-2"
[model]
source = "{source}"
inputs = ["{spec}"]
{targets}
[benchmark]
{load}
duration = {duration}
slo_ms = 1000
percentile = 90
traffic_rps = 5
"""

# What an account can hold that a deployment makes: a service, its listing, and where the ids are in it.
LISTINGS = (
    ("ec2", "describe_volumes", "Volumes[].VolumeId"),
    ("ec2", "describe_vpcs", "Vpcs[].VpcId"),
    ("ec2", "describe_subnets", "Subnets[].SubnetId"),
    ("ec2", "describe_route_tables", "RouteTables[].RouteTableId"),
    ("ec2", "describe_security_groups", "SecurityGroups[].GroupId"),
    ("ec2", "describe_vpc_endpoints", "VpcEndpoints[].VpcEndpointId"),
    ("ec2", "describe_network_interfaces", "NetworkInterfaces[].NetworkInterfaceId"),
    ("ec2", "describe_launch_templates", "LaunchTemplates[].LaunchTemplateId"),
    ("ec2", "describe_instances", "Reservations[].Instances[?State.Name!='terminated'][].InstanceId"),
    ("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups[].AutoScalingGroupName"),
    ("autoscaling", "describe_policies", "ScalingPolicies[].PolicyName"),
    ("elbv2", "describe_load_balancers", "LoadBalancers[].LoadBalancerArn"),
    ("elbv2", "describe_target_groups", "TargetGroups[].TargetGroupArn"),
    ("iam", "list_roles", "Roles[].RoleName"),
    ("iam", "list_instance_profiles", "InstanceProfiles[].InstanceProfileName"),
    ("iam", "list_policies", "Policies[].PolicyName"),
    ("s3", "list_buckets", "Buckets[].Name"),
    ("ssm", "list_documents", "DocumentIdentifiers[].Name"),
    ("ssm", "describe_parameters", "Parameters[].Name"),
    ("logs", "describe_log_groups", "logGroups[].logGroupName"),
    ("cloudformation", "describe_stacks", "Stacks[].StackName"),
    ("sagemaker", "list_endpoints", "Endpoints[].EndpointName"),
    ("sagemaker", "list_endpoint_configs", "EndpointConfigs[].EndpointConfigName"),
    ("sagemaker", "list_models", "Models[].ModelName"),
    ("sagemaker", "list_notebook_instances", "NotebookInstances[].NotebookInstanceName"),
)
# The rest of these listings is AWS's own.
OWN_ONLY: dict[str, dict[str, Any]] = {
    "list_policies": {"Scope": "Local"},
    "list_documents": {"Filters": [{"Key": "Owner", "Values": ["Self"]}]},
}


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def ok(self) -> Finished:
        assert self.code == 0, f"exit {self.code}\n{self.out}\n{self.err}"
        return self


@dataclass(frozen=True)
class Laptop:
    """Where commands are typed, and in which environment."""

    folder: Path

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("LANG", "TMPDIR", "HOME") if name in os.environ}
        return kept | {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "XDG_STATE_HOME": str(self.folder / "state"),
            "AWS_CONFIG_FILE": str(self.folder / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "no-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def type(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        where: Path | None = None,
        timeout_s: float = 150,
    ) -> Finished:
        """Type a command and wait for its end; without `stdin` there is nobody at the keyboard."""
        answer = subprocess.run(
            argv,
            env=self.environment() | dict(env or {}),
            cwd=where or self.folder,
            input=stdin or "",
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return Finished(answer.returncode, answer.stdout, answer.stderr)

    def amazonei(self, *argv: str, **options: Any) -> Finished:
        return self.type("amazonei", *argv, **options)

    @contextmanager
    def began(self, *argv: str) -> Iterator[subprocess.Popen[str]]:
        """Type a command and go on while it runs, in a process group of its own, its stderr at hand."""
        with subprocess.Popen(
            argv,
            env=self.environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    @contextmanager
    def requests(self) -> Iterator[list[tuple[str, str]]]:
        """Tell what is done meanwhile with which kind of the bucket's objects; hosts' reading is left out."""
        log, found = self.folder / "state/amazonei/emulator/emulator.log", list[tuple[str, str]]()
        before = log.stat().st_size
        yield found
        asked = re.findall(r'"([A-Z]+) (\S*?)artifacts(?:/|%2F)(\w+)', log.read_text()[before:])
        for verb, where, kind in asked:
            if "list-type" in where:
                found.append(("LIST", kind))
            elif verb != "GET":
                found.append((verb, kind))

    def interrupt(self, number: signal.Signals, words: str, *argv: str) -> Finished:
        """Send the signal to a command once its progress says these words, and wait for its end."""
        with self.began(*argv) as process:
            said = until(process, words)
            process.send_signal(number)
            out, err = process.communicate(timeout=120)
            return Finished(process.returncode, out, said + err)

    def write_job(
        self,
        name: str,
        *accelerators: str,
        source: str = "model.py:halve",
        spec: str = "x=float32[2,4]",
        load: str = "rate = 100",
        duration: float = 1,
    ) -> str:
        (self.folder / "model.py").write_text(MODEL)
        rows = "\n".join(f'[[targets]]\naccelerator = "{each}"' for each in accelerators)
        job = JOB.format(name=name, source=source, spec=spec, targets=rows, load=load, duration=duration)
        (self.folder / f"{name}.toml").write_text(job)
        return f"{name}.toml"

    def compiled(self, factor: float) -> Path:
        """Compile the job's model, made to multiply by the factor."""
        name = f"times{factor}"
        source = (self.folder / "model.py").read_text().replace("0.5", str(factor))
        (self.folder / f"{name}.py").write_text(source)
        made = self.amazonei(
            "compile", f"{name}.py:halve", "--input", "x=float32[1,4]", "--target", "c7i.xlarge",
            "--lanes", "quick", "--out", name, "--output", "json",
        ).ok()  # fmt: skip
        return Path(self.folder, made.document["artifact"])

    def keys(self) -> dict[str, str]:
        """The environment `eval "$(amazonei emulator env)"` makes."""
        made: dict[str, str] = self.amazonei("emulator", "env", "--output", "json").ok().document
        return made

    def account(self) -> dict[str, list[str]]:
        """Everything in the account, as AWS's own client library lists it: ids by "service call"."""
        keys = self.keys()
        session = boto3.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], region_name=REGION)
        open_client: Callable[..., Any] = session.client
        found = {}
        for service, call, query in LISTINGS:
            client = open_client(service, endpoint_url=keys["AWS_ENDPOINT_URL"])
            pages = client.get_paginator(call).paginate(**OWN_ONLY.get(call, {}))
            found[f"{service} {call}"] = sorted(each for each in pages.search(query) if each is not None)
        return found


def until(process: subprocess.Popen[str], words: str) -> str:
    """Read the progress up to the line with these words; return what was said so far."""
    said = ""
    assert process.stderr is not None
    for line in process.stderr:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it never said {words!r}:\n{said}")


def processes_with(text: str) -> list[int]:
    """The processes whose environment or command line carries the text."""
    return [pid for pid in _pids() if any(text.encode() in part for part in _parts(pid))]


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _parts(pid: int) -> Iterator[bytes]:
    readers: tuple[Callable[[], bytes], ...] = tuple(
        Path(f"/proc/{pid}/{name}").read_bytes for name in ("environ", "cmdline")
    )
    for reader in readers:
        try:
            yield reader()
        except OSError:  # it ended while we looked, or is somebody else's
            continue
