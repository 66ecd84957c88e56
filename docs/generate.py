"""Write the pages that repeat what the code says: `python docs/generate.py`; a test compares them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioning.cli.program import program
from provisioning.emulator.strict import corrections

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parent

EMULATOR_HEAD = """# The embedded AWS

`amazonei emulator start` runs a [moto](https://github.com/getmoto/moto) server on this machine's loopback interface, with a strict layer over
it and hosts that execute. Why it is built this way is in [ADR 4](adr/0004-an-embedded-aws-with-corrections.md).

- **Hosts.** Each instance is a directory and a loopback address of its own. Its user data runs at boot when it is ours (second line
  `# amazonei host`; nobody else's ever runs); then it registers with Systems Manager. Commands sent to it run as real processes, with real
  output, exit codes and time-outs. Terminating it ends every process of it.
- **Endpoints.** A SageMaker endpoint is a process that unpacks the `model.tar.gz` of its model and runs AWS's own handler code
  (`sagemaker-pytorch-inference`) on it, with this machine's PyTorch and whatever image the template names. Its output is in CloudWatch Logs,
  `invoke-endpoint` is answered by it, and deleting the endpoint ends it. Network isolation and the number of instances are not emulated.
- **Load balancers.** One listens on a port of the loopback (its address is `127.0.0.1:PORT`, where AWS's has no port) with the certificate and
  key that were imported into ACM: `aws acm import-certificate`. It asks the hosts' health ports, sends each request to the healthy host with the
  least to do, and lets a host that its group ends finish first. No metric is emulated, so no group grows with its requests.
- **The key.** The port runs shell commands, so every request must carry the random access key made at the start
  (`amazonei emulator env` prints it for other clients), and a `Host` header that names this machine.
- **State.** Process id, port, keys and log are in `$XDG_STATE_HOME/amazonei/emulator` (default `~/.local/state`). Nothing survives `stop`.

What it does not prove: IAM decisions (policies are stored, not enforced), quotas and capacity, the time anything takes on AWS, the contents
of AMIs, and the speed of any accelerator.

## Corrections

Each row is a place where moto answers otherwise than AWS. A correction is tied to the exact source of the moto functions it replaces; when
an upgrade changes one, the emulator refuses to start and names it.

| correction | what AWS does | stated by AWS |
|---|---|---|
"""
CLI_HEAD = """# Command line reference

Generated from `--help`.
"""


def emulator_page() -> str:
    """Return the page about the emulator, with a row per correction."""
    rows = (
        f"| {correction.name} | {correction.statement} | [source]({correction.source}) |"
        for correction in corrections()
    )
    return EMULATOR_HEAD + "\n".join(rows) + "\n"


def cli_page() -> str:
    """Return the help of every command."""
    context = click.Context(program, info_name="amazonei", **program.context_settings)
    return CLI_HEAD + "".join(_sections(program, context))


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    context.terminal_width = 100
    yield f"\n## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from _sections(child, click.Context(child, info_name=name, parent=context))


PAGES = {"emulator.md": emulator_page, "cli.md": cli_page}


def main() -> None:
    """Write every generated page."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
