"""The rule packs, each as one call: a directory of templates in, findings out. All of them work offline."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.stacks.rules import violations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
GATES = ROOT / ".venv-gates"
UNREACHABLE = "http://127.0.0.1:9"  # no pack has business on the network
# The services our templates use, and those they must not.
CONTROL_TOWER_SERVICES = (
    *("cloudwatch", "ec2", "ec2autoscaling", "identityandaccessmanagement", "keymanagementservice"),
    *("elasticloadbalancing", "lambda", "s3", "sagemaker", "sqs"),
)
PATH_IN_FINDING = re.compile(r'"path": "/Resources/([^/"]+)')
CONTROL = re.compile(r"\[(CT\.[A-Z0-9.]+)\]")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """What a pack has against a resource of a template."""

    pack: str
    rule: str
    template: str
    resource: str


def cfn_lint(directory: Path, regions: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Ask cfn-lint about each template in its regions; templates with the same regions go together."""
    together: dict[tuple[str, ...], list[Path]] = {}
    for file in sorted(directory.glob("*.json")):
        together.setdefault(tuple(regions[file.stem]), []).append(file)
    program: tuple[str, Path] = (sys.executable, Path(__file__).with_name("lint.py"))
    for where, files in together.items():
        answer = _run([*program, "--format", "json", "--regions", *where, "--", *files])
        for match in json.loads(answer or "[]"):
            path = match["Location"].get("Path") or ["", ""]
            resource = str(path[1]) if len(path) > 1 and path[0] == "Resources" else ""
            yield Finding("cfn-lint", match["Rule"]["Id"], Path(match["Filename"]).stem, resource)


def cdk_nag(directory: Path) -> Iterator[Finding]:
    """Ask the four packs of cdk-nag.

    Whether a host is in a VPC they read from the instance's own subnet alone. EC2 refuses that beside a
    network interface, which is what keeps a public address away, so they are shown the interface's subnet
    where they look: a host whose interface names none is still found.
    """
    shown = _shown(directory, "nag", _with_subnets_of_interfaces)
    answer = _run([GATES / "bin" / "python", Path(__file__).with_name("nag_report.py"), shown])
    for rule, template, resource in json.loads(answer):
        yield Finding("cdk-nag", rule, template, resource)


def cfn_guard(directory: Path) -> Iterator[Finding]:
    """Ask AWS Control Tower's rules.

    They read one template at a time and take an import from another stack for a mistake, so imports are
    shown to them as the plain strings that they become.
    """
    rules, binary = _control_tower()
    shown = _shown(directory, "guard", _without_imports)
    options = ["--show-summary", "none", "--structured", "--output-format", "json"]
    folders = [rules / service for service in CONTROL_TOWER_SERVICES]
    answer = _run([binary, "validate", "--data", shown, "--rules", *folders, *options])
    for report in json.loads(answer):
        for rule in report["not_compliant"]:
            text = json.dumps(rule)
            control = CONTROL.search(text)
            for resource in sorted(set(PATH_IN_FINDING.findall(text))):
                name = control[1] if control else rule["Rule"]["name"]
                yield Finding("cfn-guard", name, Path(report["name"]).stem, resource)


def checkov(directory: Path) -> Iterator[Finding]:
    """Ask checkov, with its own rules only."""
    options = ["--framework", "cloudformation", "--skip-download", "--compact", "--quiet", "--output", "json"]
    answer = json.loads(_run([GATES / "bin" / "checkov", "--directory", directory, *options]))
    for report in answer if isinstance(answer, list) else [answer]:
        for check in report.get("results", {}).get("failed_checks", []):
            resource = check["resource"].rpartition(".")[2]
            yield Finding("checkov", check["check_id"], Path(check["file_path"]).stem, resource)


def own_rules(directory: Path) -> Iterator[Finding]:
    """Ask our own rules."""
    for file in sorted(directory.glob("*.json")):
        for violation in violations(file.read_text(encoding="utf-8")):
            yield Finding("own", violation.rule, file.stem, violation.resource)


def _run(argv: Sequence[str | Path]) -> str:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    environment |= dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), UNREACHABLE)
    done = subprocess.run(
        [str(word) for word in argv],
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # Node may end within a character of its standard error
        env=environment,
        timeout=900,  # a machine may be busy
        check=False,
    )
    if not done.stdout.strip():
        raise AssertionError(f"{argv[0]} said nothing: {done.stderr[-2000:]}")
    return done.stdout


def _control_tower() -> tuple[Path, Path]:
    """Return rules and binary, unpacked once from the distribution that carries both."""
    (archive,) = GATES.glob("lib/python*/site-packages/cdklabs/cdk_validator_cfnguard/_jsii/*.tgz")
    unpacked = GATES / "cfn-guard" / "package"
    if not unpacked.exists():
        with tarfile.open(archive) as content:
            content.extractall(GATES / "cfn-guard", filter="data")
    machine = "aarch64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    return (
        unpacked / "rules" / "control-tower" / "cfn-guard",
        unpacked / "bin" / "ubuntu" / machine / "cfn-guard",
    )


def _shown(directory: Path, pack: str, view: Callable[[Any], Any]) -> Path:
    """Write the templates as a pack is to see them, beside the directory, and return where."""
    shown = directory.with_name(f"{directory.name}-{pack}")
    shown.mkdir(exist_ok=True)
    for file in directory.glob("*.json"):
        template = view(json.loads(file.read_text(encoding="utf-8")))
        (shown / file.name).write_text(json.dumps(template), encoding="utf-8")
    return shown


def _with_subnets_of_interfaces(template: Any) -> Any:
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        faces = properties.get("NetworkInterfaces", []) if resource["Type"] == "AWS::EC2::Instance" else []
        if faces and all("SubnetId" in face for face in faces):
            properties.setdefault("SubnetId", faces[0]["SubnetId"])
    return template


def _without_imports(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"Fn::ImportValue"}:
            return "imported"
        return {key: _without_imports(item) for key, item in value.items()}
    return [_without_imports(item) for item in value] if isinstance(value, list) else value
