"""An interrupted command ends at once, and what it was sending is not sent on."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from provisioning.aws import Credentials
from provisioning.aws.blocks import BLOCK_BYTES, Blocks
from provisioning.aws.connection import open_session
from provisioning.transfers import CONNECTIONS, Left, go_on, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def heard() -> Iterator[None]:
    """Let Ctrl-C be heard also where the tests were started in the background of a shell."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("heard")
def test_an_interruption_drops_what_has_not_begun_and_ends_what_is_under_way() -> None:
    begun, ended = threading.Semaphore(0), threading.Semaphore(0)
    interrupted, finished = threading.Event(), list[int]()
    main = threading.get_ident()

    def send(item: int) -> None:
        begun.release()
        assert interrupted.wait(timeout=60)
        try:
            go_on()
            finished.append(item)
        finally:
            ended.release()

    def interrupt() -> None:
        for _ in range(CONNECTIONS):
            begun.acquire(timeout=60)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        side_by_side(range(3 * CONNECTIONS), send)
    interrupted.set()
    for _ in range(CONNECTIONS):
        assert ended.acquire(timeout=60)
    assert finished == []
    assert not begun.acquire(blocking=False), "what had not begun never does"


def test_nothing_ends_what_was_not_interrupted() -> None:
    def send(item: int) -> int:
        go_on()
        return item

    go_on()
    assert side_by_side([1, 2, 3], send) == [1, 2, 3]
    assert not issubclass(Left, Exception), "botocore would try again"


STUCK = """
import signal, sys, threading
from pathlib import Path
import click
from provisioning.cli import leave
from provisioning.cli.boundary import run
from provisioning.uploading import store
from tests.artifacts.test_recipe import upload
from tests.provisioning.operated import Bucket

class Silent(Bucket):
    def {method}(self, *arguments):
        print("asked", flush=True)
        threading.Event().wait()

@click.command()
def ship():
    store(upload(Silent()), Path({path!r}))

signal.signal(signal.SIGINT, signal.default_int_handler)
leave(run(ship, [], prog_name="ship"))
"""


@pytest.mark.parametrize("method", ["head_object", "listed", "put_blocks"])
def test_ctrl_c_ends_a_command_while_s3_does_not_answer(method: str, tmp_path: Path) -> None:
    (tmp_path / "net.aei").write_bytes(bytes(100_000))
    code = STUCK.format(method=method, path=str(tmp_path / "net.aei"))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        try:
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 75, told
    assert "Interrupted" in told
    assert "Traceback" not in told


def test_a_body_that_is_left_ends_its_request_and_is_not_sent_again(tmp_path: Path) -> None:
    """Through botocore, which tries again whatever is an Exception."""
    (tmp_path / "piece").write_bytes(bytes(3 * BLOCK_BYTES))
    with socket.create_server(("127.0.0.1", 0)) as server, (tmp_path / "piece").open("rb") as stream:
        here = Credentials(access_key="test", secret_key="test")
        s3 = open_session("us-west-2", None, f"http://127.0.0.1:{server.getsockname()[1]}", here).s3
        read = list[int]()

        def leave(count: int) -> None:
            read.append(count)
            if len(read) == 2:
                raise Left

        body = Blocks(stream.fileno(), [(0, 3 * BLOCK_BYTES)], leave)
        drain = threading.Thread(target=swallow, args=(server,))
        drain.start()
        with pytest.raises(Left):
            s3.put_blocks("box", "key", body, bytes(32))
        drain.join(timeout=60)
    assert read == [BLOCK_BYTES, BLOCK_BYTES]


def swallow(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while connection.recv(1 << 16):
            pass
