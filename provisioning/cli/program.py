"""The command group `amazonei`: one line per command; bodies import what they need when they run."""

from __future__ import annotations

import click

from provisioning.cli.compiling import compile_command, verify
from provisioning.cli.doctor import doctor
from provisioning.cli.emulation import emulator
from provisioning.cli.forwarding import forward
from provisioning.cli.inspecting import inspect
from provisioning.cli.job import run
from provisioning.cli.logs import logs
from provisioning.cli.measuring import benchmark, prices, rank, report
from provisioning.cli.provision import audit, setup, status, teardown
from provisioning.cli.shipping import invoke, ship
from provisioning.cli.targets import targets


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(package_name="amazonei", message="amazonei %(version)s")
def program() -> None:
    """Find the AWS accelerator that serves a PyTorch model within its latency limit for the least money.

    \b
    The whole job, on a laptop, with no AWS account:
      amazonei run --emulate examples/digits.toml
    Step by step:
      amazonei setup --region us-west-2 --accelerator inf2.xlarge
      amazonei compile examples/digits.py:digit_classifier --input 'image=float32[1,1,8,8]:0..1' \\
          --target inf2.xlarge
      amazonei ship build/amazonei/*.aei
      amazonei benchmark --slo-ms 20
      amazonei teardown
    """


for command in (
    setup, compile_command, inspect, verify, ship, invoke, benchmark, rank, report, run,
    status, logs, forward, teardown, audit, doctor, targets, prices, emulator,
):  # fmt: skip
    program.add_command(command)
