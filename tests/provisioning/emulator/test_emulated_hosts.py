from __future__ import annotations

from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from provisioning.emulator import processes, service
from tests.provisioning.emulator.emulated import USER_DATA, Emulated, connect, eventually

if TYPE_CHECKING:
    from provisioning.emulator.state import Running

DAEMON = (
    "setsid \"$AMAZONEI_PYTHON\" -c 'import os, time; time.sleep(300)' >/dev/null 2>&1 &\n"
    "until grep -aq sleep /proc/$!/cmdline; do :; done; echo $!"
)
SERVER = (
    'setsid "$AMAZONEI_PYTHON" -m http.server 8080 --bind "$AMAZONEI_ADDRESS" >/dev/null 2>&1 &\n'
    'until "$AMAZONEI_PYTHON" -c \'import os, urllib.request as u;'
    ' u.urlopen("http://" + os.environ["AMAZONEI_ADDRESS"] + ":8080")\' 2>/dev/null; do :; done;'
    ' echo "$AMAZONEI_ADDRESS"'
)


def _folder(running: Running, instance_id: str) -> Path:
    return running.state_dir / "hosts" / instance_id


def _processes(instance_id: str) -> tuple[processes.Process, ...]:
    return processes.carrying({"AMAZONEI_INSTANCE_ID": instance_id})


def test_two_hosts_serve_on_the_same_port_of_their_own_addresses(aws: Emulated) -> None:
    first, second = aws.launch(), aws.launch()
    answers = [aws.run(aws.await_online(each), SERVER) for each in (first, second)]
    addresses = {answer["StandardOutputContent"].strip() for answer in answers}
    assert len(addresses) == 2
    assert all(each.startswith("127.") and each != "127.0.0.1" for each in addresses)
    aws.ec2.terminate_instances(InstanceIds=[first, second])


def test_termination_ends_a_daemonised_process_and_nobody_elses(
    aws: Emulated, host: str, running: Running
) -> None:
    doomed = aws.await_online(aws.launch())
    pids = [int(aws.run(each, DAEMON)["StandardOutputContent"]) for each in (doomed, host)]
    daemon, survivor = processes.find(pids[0]), processes.find(pids[1])
    assert daemon is not None
    assert survivor is not None
    aws.ec2.terminate_instances(InstanceIds=[doomed])
    assert not daemon.alive()
    assert survivor.alive()
    assert _processes(doomed) == ()
    assert not _folder(running, doomed).exists()
    processes.end(lambda: (survivor,) if survivor.alive() else ())


def test_a_terminated_instance_leaves_the_list_but_answers_to_its_id(aws: Emulated) -> None:
    doomed = aws.launch()
    interfaces = aws.ec2.describe_instances(InstanceIds=[doomed])["Reservations"][0]["Instances"][0]
    aws.ec2.terminate_instances(InstanceIds=[doomed])
    listed = [i["InstanceId"] for r in aws.ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    asked = aws.ec2.describe_instances(InstanceIds=[doomed])["Reservations"][0]["Instances"][0]
    assert doomed not in listed
    assert asked["State"]["Name"] == "terminated"
    left = [eni["NetworkInterfaceId"] for eni in aws.ec2.describe_network_interfaces()["NetworkInterfaces"]]
    assert interfaces["NetworkInterfaces"][0]["NetworkInterfaceId"] not in left


def test_user_data_without_the_marker_in_line_two_is_not_run(aws: Emulated, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    texts = [f"#!/bin/sh\ntouch {canary}\n", f"#!/bin/sh\n# amazonei host \ntouch {canary}\n"]
    texts.append(f"#!/bin/sh\n\n# amazonei host\ntouch {canary}\n")
    strangers = [aws.launch(text) for text in texts]
    for each in strangers:
        aws.await_online(each)
        assert "user data not run" in aws.ec2.get_console_output(InstanceId=each)["Output"]
    assert not canary.exists()
    aws.ec2.terminate_instances(InstanceIds=strangers)


def test_a_host_whose_user_data_fails_never_registers_and_says_why(aws: Emulated) -> None:
    broken = aws.launch(USER_DATA + "echo no such wheel >&2\nexit 7\n")

    def console() -> str:
        return str(aws.ec2.get_console_output(InstanceId=broken)["Output"])

    eventually(lambda: "exit code 7" in console())
    assert "the host has booted\nno such wheel\n" in console()
    assert aws.ping(broken) == ""
    with pytest.raises(ClientError, match="InvalidInstanceId"):
        aws.send(broken, "true")
    aws.ec2.terminate_instances(InstanceIds=[broken])


def test_a_host_sees_the_documented_environment_and_nothing_of_the_users(
    aws: Emulated, host: str, running: Running
) -> None:
    lines = aws.run(host, "env")["StandardOutputContent"].splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    folder = _folder(running, host)
    expected = {
        "AMAZONEI_HOME": f"{folder}/amazonei",
        "AMAZONEI_INSTANCE_ID": host,
        "AMAZONEI_EMULATED": "1",
        "AWS_ENDPOINT_URL": running.endpoint_url,
        "AWS_REGION": "us-west-2",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_ACCESS_KEY_ID": running.access_key,
        "AWS_SECRET_ACCESS_KEY": running.secret_key,
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PWD": str(folder),
    }
    assert {name: seen[name] for name in expected} == expected
    # Sockets are made in there, whose names may have 107 bytes: in a deep folder it is a short one.
    assert seen.pop("TMPDIR") in {f"{folder}/tmp", f"{gettempdir()}/amazonei-{host}"}
    of_the_shell = {"OLDPWD", "SHLVL", "_"}
    assert set(seen) - set(expected) - of_the_shell == {"AMAZONEI_ADDRESS", "AMAZONEI_PYTHON", "PATH"}
    assert seen["PATH"].split(":")[0] == str(Path(seen["AMAZONEI_PYTHON"]).parent)


def test_an_instance_terminated_while_it_boots_leaves_nothing(aws: Emulated, running: Running) -> None:
    hasty = [aws.launch(USER_DATA + "sleep 300\n") for _ in range(5)]
    aws.ec2.terminate_instances(InstanceIds=hasty)
    assert [_processes(each) for each in hasty] == [()] * 5
    assert not any(_folder(running, each).exists() for each in hasty)


def test_a_stopped_host_loses_its_processes_and_comes_back_without_user_data(aws: Emulated) -> None:
    counting = aws.await_online(aws.launch(USER_DATA + 'echo boot >> "$AMAZONEI_HOME/boots"\n'))
    aws.run(counting, DAEMON)
    aws.ec2.stop_instances(InstanceIds=[counting])
    assert _processes(counting) == ()
    assert aws.ping(counting) == "ConnectionLost"
    with pytest.raises(ClientError, match="InvalidInstanceId"):
        aws.send(counting, "true")
    aws.ec2.start_instances(InstanceIds=[counting])
    aws.await_online(counting)
    assert aws.run(counting, 'cat "$AMAZONEI_HOME/boots"')["StandardOutputContent"] == "boot\n"
    aws.ec2.terminate_instances(InstanceIds=[counting])


def test_stopping_the_emulator_ends_its_hosts(tmp_path: Path) -> None:
    running = service.start(tmp_path, registration_delay_s=0.2)
    try:
        aws = connect(running)
        instance_id = aws.await_online(aws.launch())
        aws.run(instance_id, DAEMON)
        assert _processes(instance_id)
    finally:
        service.stop(tmp_path)
    assert _processes(instance_id) == ()
    assert not (tmp_path / "hosts").exists()


def test_hosts_of_a_killed_emulator_are_ended_by_the_next_stop(tmp_path: Path) -> None:
    running = service.start(tmp_path, registration_delay_s=0.2)
    try:
        aws = connect(running)
        instance_id = aws.await_online(aws.launch())
        aws.run(instance_id, DAEMON)
        processes.end(lambda: (running.process,) if running.process.alive() else (), grace_s=0)
    finally:
        service.stop(tmp_path)
    assert _processes(instance_id) == ()
