"""The one SSM document: a fixed script, and parameters that can only be digests and words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from artifacts.serve.requests import Operation

# The most that the pattern of ExecutionTimeout lets through; the agent itself takes up to 172,800.
LONGEST_EXECUTION_S = 99_999
_BOOTSTRAP = Path(__file__).with_name("bootstrap.sh")


def bootstrap_script() -> str:
    """Return the script that the document runs, and a host that comes by itself."""
    return _BOOTSTRAP.read_text(encoding="utf-8")


def host_document() -> dict[str, Any]:
    """Return the content of the SSM Command document, schema 2.2.

    The four strings arrive in the script's environment as SSM_<name>
    (https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-doc-syntax.html). The time-out is
    the one parameter the agent itself reads, so it is substituted, and can only be digits.
    """
    operations = "|".join(operation.value for operation in Operation)
    return {
        "schemaVersion": "2.2",
        "description": "amazonei: install, invoke, benchmark or stop the model that this host serves.",
        "parameters": {
            "Bucket": _variable("The deployment's bucket.", "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"),
            "Bundle": _variable("SHA-256 of the host's code.", "^[0-9a-f]{64}$"),
            "Operation": _variable("What to do.", f"^({operations})$"),
            "Request": _variable("SHA-256 of the request object.", "^[0-9a-f]{64}$"),
            "ExecutionTimeout": {
                "type": "String",
                "description": "Seconds after which the agent ends the command.",
                "default": "900",
                "allowedPattern": "^[1-9][0-9]{0,4}$",
            },
        },
        "mainSteps": [
            {
                "action": "aws:runShellScript",
                "name": "host",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {
                    "timeoutSeconds": "{{ ExecutionTimeout }}",
                    "runCommand": bootstrap_script().splitlines(),
                },
            }
        ],
    }


def _variable(description: str, pattern: str) -> dict[str, str]:
    return {
        "type": "String",
        "description": description,
        "allowedPattern": pattern,
        "interpolationType": "ENV_VAR",
    }
