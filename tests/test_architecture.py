"""The house rules that a linter cannot see: who may import whom, and what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("artifacts", "stacks", "provisioning")
MODULES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))

# A library, and the places that may import it, at any depth of the code.
DOORS = {
    "click": ("provisioning/cli",),
    "boto3": ("provisioning/aws", "provisioning/emulator"),
    "botocore": ("provisioning/aws", "provisioning/emulator"),
    "moto": ("provisioning/emulator",),
    "werkzeug": ("provisioning/emulator",),
    "aws_cdk": ("stacks",),
    "constructs": ("stacks",),
    "jsii": ("stacks",),
    "torch": ("artifacts/compile", "artifacts/serve"),
    "transformers": ("artifacts/compile",),
    "mosec": ("artifacts/serve",),
    "rich": ("provisioning/cli",),
}
# A room, and the rooms it may import. What decides imports nothing of the shell.
DIRECTIONS = {
    "artifacts": {"artifacts"},
    "stacks": {"artifacts", "stacks"},
    "provisioning": {"artifacts", "stacks", "provisioning"},
}


@cache
def imports_of(module: Path) -> dict[str, int]:
    """Every module a file imports, at any depth, with the line; imports for annotations only are not."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    found: dict[str, int] = {}
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name: node.lineno for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found[node.module] = node.lineno
        pending.extend(ast.iter_child_nodes(node))
    return found


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_rooms_import_only_in_the_agreed_direction(module: Path) -> None:
    room = module.parts[0]
    wrong = [
        f"line {line}: {name}"
        for name, line in imports_of(module).items()
        if name.partition(".")[0] in ROOMS and name.partition(".")[0] not in DIRECTIONS[room]
    ]
    assert wrong == []


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_libraries_are_imported_only_behind_their_doors(module: Path) -> None:
    wrong = [
        f"line {line}: {name}"
        for name, line in imports_of(module).items()
        if (doors := DOORS.get(name.partition(".")[0])) is not None
        and not module.as_posix().startswith(tuple(f"{door}/" for door in doors))
    ]
    assert wrong == []


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_only_the_command_line_imports_the_emulator(module: Path) -> None:
    inside = module.as_posix().startswith(("provisioning/emulator/", "provisioning/cli/"))
    assert inside or not any(name.startswith("provisioning.emulator") for name in imports_of(module))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_the_core_imports_nothing_of_the_shell(module: Path) -> None:
    inside = module.as_posix().startswith("provisioning/cli/")
    assert inside or not any(name.startswith("provisioning.cli") for name in imports_of(module))


def loaded_after(statement: str) -> set[str]:
    """The top-level packages a fresh interpreter has loaded after a statement."""
    script = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(answer.stdout.split())


def test_the_command_line_loads_no_heavy_library() -> None:
    heavy = {"torch", "boto3", "botocore", "aws_cdk", "jsii", "moto", "rich", "numpy"}
    assert loaded_after("import provisioning.cli.program") & heavy == set()


def test_artifacts_import_without_the_tools_own_libraries() -> None:
    absent = "import sys\nfor name in ('boto3', 'click', 'aws_cdk', 'rich'): sys.modules[name] = None\n"
    modules = (
        "artifacts.archive, artifacts.compile.pipeline, artifacts.serve.host, artifacts.measure.campaign"
    )
    statement = f"{absent}import {modules}"
    assert "torch" in loaded_after(statement)


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_are_this_repositorys_own(room: str) -> None:
    """`artifacts` and `stacks` are names other distributions use too: a foreign one must be noticed."""
    answer = subprocess.run(
        [sys.executable, "-c", f"import {room}; print({room}.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert Path(answer.stdout.strip()).is_relative_to(ROOT)


def test_git_does_not_ignore_the_artifacts_room() -> None:
    """Many ignore templates exclude a folder of that name."""
    answer = subprocess.run(["git", "check-ignore", "artifacts/targets.py"], cwd=ROOT, check=False)
    assert answer.returncode == 1


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "helpers", "common", "misc", "constants"}
    assert [str(path) for path in MODULES if path.stem in drawers] == []
