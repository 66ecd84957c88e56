"""What holds for every test: the AWS account of whoever runs them is out of reach."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# The longest files go first: a file is run by one worker, and at the end the others would wait for it.
LONGEST = (
    "tests/stacks/test_cdk_command.py",
    "tests/emulation/test_whole_job.py",
    "tests/emulation/test_step_by_step.py",
    "tests/artifacts/serve/test_host.py",
    "tests/emulation/test_bad_input.py",
    "tests/artifacts/serve/test_switching.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; tests of one file stay together, in its order."""

    def rank(item: pytest.Item) -> int:
        file = item.nodeid.partition("::")[0]
        return LONGEST.index(file) if file in LONGEST else len(LONGEST)

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def _no_account_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
