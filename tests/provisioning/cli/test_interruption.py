from __future__ import annotations

import pytest

from provisioning.cli.boundary import run
from provisioning.cli.interruption import resumable
from provisioning.errors import Interrupted
from provisioning.settings import Settings
from tests.provisioning.cli.test_boundary import raising

SETTINGS = Settings(name="demo", region="us-west-2")
NOTE = "Its command 1 goes on."


def noted() -> KeyboardInterrupt:
    interruption = KeyboardInterrupt()
    interruption.add_note(NOTE)
    return interruption


def test_what_goes_on_is_told_with_the_ways_to_look_and_go_on() -> None:
    with pytest.raises(Interrupted) as caught, resumable(SETTINGS, "shipping net.aei", on_hosts=True):
        raise noted()
    assert caught.value.message == f"Interrupted while shipping net.aei.\n{NOTE}"
    again, served, exists, remove = caught.value.hint.splitlines()
    assert again == "Run the same command again to go on."
    assert served == f"  what is served: {SETTINGS.command('status --hosts')}"
    assert exists.endswith(SETTINGS.command("status"))
    assert remove.endswith(SETTINGS.command("teardown --yes"))


def test_what_nobody_noted_may_go_on() -> None:
    with pytest.raises(Interrupted) as caught, resumable(SETTINGS, "setting up demo"):
        raise KeyboardInterrupt
    assert caught.value.message.startswith("Interrupted while setting up demo; AWS may go on")
    assert "--hosts" not in caught.value.hint


def test_every_command_tells_what_its_interruption_left_going(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(noted()), [], prog_name="job") == 75
    assert f"error: Interrupted.\n{NOTE}\nhint: " in capsys.readouterr().err
