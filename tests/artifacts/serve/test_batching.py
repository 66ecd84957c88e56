from __future__ import annotations

import dataclasses
import json
import socket
import struct
import threading
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors import torch as safetensors

from artifacts.archive import open_verified
from artifacts.serve import batching, layouts, npy
from artifacts.serve.handler import Handler
from artifacts.serve.links import Code, FrontGone, Links, Reply
from artifacts.serve.loop import serve
from artifacts.serve.worker import BatchWorker, ModelWorker, batch_size, link_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from artifacts.compile.request import CompileResult

_WAIT_S = 10.0  # a test that hangs fails; none needs it


class Front:
    """The other end of the links, speaking mosec 0.9.8's wire."""

    def __init__(self, path: Path, count: int) -> None:
        self.address = str(path / "s")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen(count)
        self.ends: list[socket.socket] = []

    def accept(self, count: int) -> None:
        for _ in range(count):
            end, _ = self._listener.accept()
            end.settimeout(_WAIT_S)
            self.ends.append(end)

    def ask(self, end: int, identifier: int, body: bytes) -> None:
        head = struct.pack("!HHIHI", 0, 1, identifier, 3, len(body))
        self.ends[end].sendall(head + body)

    def answer(self, end: int) -> tuple[int, int, bytes]:
        """Return the code, the id and the body of the next answer on a link."""
        stream = self.ends[end].makefile("rb", buffering=0)
        head = b""
        while len(head) < 14:
            head += stream.read(14 - len(head)) or b""
        code, tasks, identifier, state, length = struct.unpack("!HHIHI", head)
        assert (tasks, state) == (1, 3)
        body = b""
        while len(body) < length:
            body += stream.read(length - len(body)) or b""
        return code, identifier, body

    def close(self) -> None:
        for end in [*self.ends, self._listener]:
            end.close()


class Recorder(BatchWorker):
    """Echoes, notes what it was given and by which thread, and holds each batch until it may go on."""

    batch = 3

    def __init__(self, *, overlaps: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.overlaps = overlaps
        self.sizes: list[int] = []
        self.threads: list[threading.Thread] = []
        self.began, self.go_on, self.was_read = (threading.Semaphore(0) for _ in range(3))

    def read(self, body: bytearray) -> bytes | Reply:
        self.was_read.release()
        return Reply(Code.INVALID, b"expected another") if body == b"wrong" else bytes(body)

    def compute(self, questions: Sequence[bytes]) -> Sequence[bytes]:
        self.sizes.append(len(questions))
        self.threads.append(threading.current_thread())
        self.began.release()
        assert self.go_on.acquire(timeout=_WAIT_S)
        if b"deadly" in questions:
            raise SystemExit(7)
        return questions

    def write(self, question: bytes, outcome: bytes) -> Reply:
        assert question is outcome
        return Reply(Code.OK, outcome)


@dataclasses.dataclass
class Working:
    """A worker between its links and a thread of its own."""

    front: Front
    worker: Recorder
    thread: threading.Thread
    shutdown: threading.Event
    ended_by: list[BaseException]


@contextmanager
def working(path: Path, links: int, *, overlaps: bool) -> Iterator[Working]:
    front, worker, shutdown = Front(path, links), Recorder(overlaps=overlaps), threading.Event()
    ended_by: list[BaseException] = []

    def run() -> None:
        try:
            serve(worker, connected, shutdown.is_set)
        except BaseException as error:  # noqa: BLE001 - what a worker would die of
            ended_by.append(error)

    with closing(front), Links(front.address, links) as connected:
        front.accept(links)
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield Working(front, worker, thread, shutdown, ended_by)
        finally:
            worker.go_on.release(100)
            front.close()
            thread.join(_WAIT_S)
            assert not thread.is_alive()


@contextmanager
def one_link(path: Path) -> Iterator[tuple[Front, Links]]:
    front = Front(path, 1)
    with closing(front), Links(front.address, 1) as links:
        front.accept(1)
        yield front, links


both_ways = pytest.mark.parametrize("overlaps", [False, True])


@both_ways
def test_an_idle_worker_does_not_wait_for_a_second_request(overlaps: bool, tmp_path: Path) -> None:
    with working(tmp_path, 4, overlaps=overlaps) as run:
        run.worker.go_on.release()
        run.front.ask(0, 7, b"alone")
        assert run.front.answer(0) == (Code.OK, 7, b"alone")
        assert run.worker.sizes == [1]
        assert run.worker.threads == [run.thread]  # handing it to another one would cost time


@both_ways
def test_what_queued_while_the_worker_was_busy_goes_together_up_to_the_batch(
    overlaps: bool, tmp_path: Path
) -> None:
    with working(tmp_path, 6, overlaps=overlaps) as run:
        run.front.ask(0, 0, b"first")
        assert run.worker.began.acquire(timeout=_WAIT_S)
        for end in range(1, 6):
            run.front.ask(end, end, b"%d" % end)
        run.worker.go_on.release(3)
        answers = [run.front.answer(end) for end in range(6)]
        assert run.worker.sizes == [1, 3, 2]
        assert [identifier for _, identifier, _ in answers] == [0, 1, 2, 3, 4, 5]
        assert [body for _, _, body in answers] == [b"first", b"1", b"2", b"3", b"4", b"5"]


def _fill_the_device(run: Working, ends: range) -> None:
    """Let a batch of several be computed beside the links, and return while it is."""
    run.front.ask(0, 100, b"alone")
    assert run.worker.began.acquire(timeout=_WAIT_S)
    for end in ends:
        run.front.ask(end, end, b"%d" % end)
    run.worker.go_on.release()
    assert run.front.answer(0) == (Code.OK, 100, b"alone")
    assert run.worker.began.acquire(timeout=_WAIT_S)
    for _ in range(1 + len(ends)):
        assert run.worker.was_read.acquire(timeout=_WAIT_S)


def test_the_next_requests_are_read_while_a_device_computes_and_go_together_when_it_is_free(
    tmp_path: Path,
) -> None:
    with working(tmp_path, 6, overlaps=True) as run:
        _fill_the_device(run, range(1, 4))
        for end in (0, 4):  # one after the other: each is read on its own
            run.front.ask(end, end, b"%d" % end)
            assert run.worker.was_read.acquire(timeout=_WAIT_S)
        run.front.ask(5, 5, b"wrong")
        assert run.front.answer(5) == (Code.INVALID, 5, b"expected another")  # the device is busy still
        assert run.worker.sizes == [1, 3]
        run.worker.go_on.release()
        assert run.worker.began.acquire(timeout=_WAIT_S)
        assert run.worker.sizes == [1, 3, 2]
        # The answers go out although the device has the next batch.
        assert [run.front.answer(end)[2] for end in (1, 2, 3)] == [b"1", b"2", b"3"]
        run.worker.go_on.release()
        assert [run.front.answer(end) for end in (0, 4)] == [(Code.OK, 0, b"0"), (Code.OK, 4, b"4")]


def test_a_worker_that_is_to_end_answers_what_its_device_has_and_what_waits_for_it(tmp_path: Path) -> None:
    with working(tmp_path, 6, overlaps=True) as run:
        _fill_the_device(run, range(1, 4))
        run.front.ask(4, 4, b"4")
        assert run.worker.was_read.acquire(timeout=_WAIT_S)
        run.shutdown.set()
        run.worker.go_on.release(2)
        assert [run.front.answer(end)[2] for end in (1, 2, 3, 4)] == [b"1", b"2", b"3", b"4"]
        run.thread.join(_WAIT_S)
        assert not run.thread.is_alive()
        assert run.ended_by == []


def test_what_ends_the_thread_of_a_device_ends_the_worker(tmp_path: Path) -> None:
    with working(tmp_path, 6, overlaps=True) as run:
        _fill_the_device(run, range(1, 4))
        for end in (0, 4):
            run.front.ask(end, end, b"deadly")
            assert run.worker.was_read.acquire(timeout=_WAIT_S)
        run.worker.go_on.release(2)
        run.thread.join(_WAIT_S)
        assert [repr(error) for error in run.ended_by] == ["SystemExit(7)"]


def test_a_request_that_is_left_in_the_socket_is_taken_out_of_it_alone_once_it_is_answered(
    tmp_path: Path,
) -> None:
    with one_link(tmp_path) as (front, links):
        front.ask(0, 1, b"first")
        (link,) = links.waiting(1, _WAIT_S)
        assert link.receive(leave=True) == b"first"
        front.ask(0, 2, b"the next, before the first is answered")
        link.answer(Reply(Code.OK, b"one"))
        assert front.answer(0) == (Code.OK, 1, b"one")
        (link,) = links.waiting(1, _WAIT_S)
        assert link.receive(leave=True) == b"the next, before the first is answered"
        link.answer(Reply(Code.INVALID, b"two"))
        assert front.answer(0) == (Code.INVALID, 2, b"two")
        assert links.waiting(1, 0) == []


def test_a_request_that_is_left_is_whole_or_not_left(tmp_path: Path) -> None:
    with one_link(tmp_path) as (front, links):
        (end,) = front.ends
        for part in (b"\0\0\0\1\0\0", b"\0\5\0\3\0\0\0\6by"):
            end.sendall(part)
            (link,) = links.waiting(1, _WAIT_S)
            assert link._look() is None
        end.sendall(b"tes!")
        assert link.receive(leave=True) == b"bytes!"
        link.answer(Reply(Code.OK, b""))
        assert front.answer(0) == (Code.OK, 5, b"")
        assert links.waiting(1, 0) == []


def test_what_a_request_changes_in_its_own_memory_reaches_no_other(tmp_path: Path) -> None:
    with one_link(tmp_path) as (front, links):
        bodies = []
        for identifier in range(2):
            front.ask(0, identifier, b"%d" % identifier)
            (link,) = links.waiting(1, _WAIT_S)
            bodies.append(link.receive(leave=True))
            link.answer(Reply(Code.OK, b""))
            front.answer(0)
        bodies[1][:] = b"?"
        assert bodies == [b"0", b"?"]


@pytest.mark.parametrize("size", [0, 1, 64 * 1024 - 14, 64 * 1024 - 13, 3_000_000])
def test_bodies_of_every_size_come_and_go_whole(size: int, tmp_path: Path) -> None:
    body = bytes(index % 251 for index in range(min(size, 5000))) * (size // 5000 + 1)
    with working(tmp_path, 1, overlaps=False) as run:
        run.worker.go_on.release()
        sender = threading.Thread(target=run.front.ask, args=(0, 9, body[:size]))
        sender.start()
        assert run.front.answer(0) == (Code.OK, 9, body[:size])
        sender.join(_WAIT_S)


def test_links_without_a_front_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artifacts.serve.links._FRONT_S", 0.0)
    with pytest.raises(FrontGone, match="there is no socket"):
        Links(str(tmp_path / "none"), 1)


def test_a_worker_holds_the_next_batch_but_no_request_that_an_idle_one_could_take() -> None:
    assert link_count(8, workers=1) == link_count(8, workers=4) == 16
    assert link_count(1, workers=1) == 2
    assert link_count(1, workers=2) == 1


def test_a_batch_is_never_larger_than_the_model_takes() -> None:
    assert [batch_size(asked, 8) for asked in (0, 1, 4, 9)] == [8, 1, 4, 8]


class Moody:
    """A program that refuses batches which hold the value 13."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if (x == 13).any():
            raise RuntimeError("unlucky")
        return x * 2


@pytest.fixture(scope="module")
def handler(two_layers: CompileResult, tmp_path_factory: pytest.TempPathFactory) -> Handler:
    with closing(open_verified(two_layers.artifact)) as contents:
        return Handler(contents.manifest, {"": Moody()})


def _raw(value: float) -> bytes:
    return bytes(safetensors.save({"x": torch.full((1, 4), float(value))}))


def test_what_is_wrong_with_one_request_is_told_to_that_one_alone(
    handler: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = [_raw(1), b"{no json", _raw(13), _raw(3), b'{"inputs": {"x": [[1]]}}']
    replies = list(batching.answer(handler, bodies))
    codes = [reply.code for reply in replies]
    assert codes == [Code.OK, Code.INVALID, Code.FAILED, Code.OK, Code.INVALID]
    assert safetensors.load(replies[0].body)["output"].tolist() == [[2.0] * 4]
    assert safetensors.load(replies[3].body)["output"].tolist() == [[6.0] * 4]
    assert b"expected x=float32[1,4]" in replies[4].body
    assert "unlucky" in capsys.readouterr().err
    assert b"unlucky" not in replies[2].body  # what went wrong inside is for the log


@pytest.mark.parametrize("worker", [True, False])
def test_no_answer_is_kept_for_gradients_in_a_worker_or_anywhere_else(
    handler: Handler, *, worker: bool
) -> None:
    weight = torch.ones(1, requires_grad=True)
    learning = Handler(handler.manifest, {"": lambda x: x * weight})
    with ModelWorker.answering(ModelWorker.__new__(ModelWorker)) if worker else nullcontext():
        assert torch.is_inference_mode_enabled() == worker
        (answer,) = learning.predict_batch([{"x": torch.ones(1, 4)}])
    assert answer["output"].is_inference()
    assert not answer["output"].requires_grad


def test_a_batch_of_wrong_requests_never_reaches_the_model(handler: Handler) -> None:
    moody = Moody()
    replies = list(batching.answer(dataclasses.replace(handler, _programs={"": moody}), [b"no", b"no"]))
    assert [reply.code for reply in replies] == [Code.INVALID] * 2
    assert moody.calls == 0


def test_an_npy_array_is_answered_with_one(handler: Handler) -> None:
    body = npy.write(torch.ones(1, 4))
    (reply,) = batching.answer(handler, [body])
    assert reply.code is Code.OK
    assert npy.read(reply.body).tolist() == [[2.0] * 4]


def test_an_npy_array_of_columns_or_of_the_other_byte_order_is_read_by_its_values() -> None:
    import io

    array = np.arange(6, dtype=">f4").reshape(2, 3, order="F")
    stream = io.BytesIO()
    np.save(stream, array)
    assert npy.read(stream.getvalue()).tolist() == array.tolist()


def _npy(array: np.ndarray) -> bytes:
    import io

    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (_npy(np.array([{"a": 1}], dtype=object)), "objects"),
        (_npy(np.zeros(2, dtype=[("a", "i4")])), "objects or records"),
        (_npy(np.ones((1, 4), np.float32))[:-1], "its header promises 16 bytes, there are 15"),
        (_npy(np.ones((1, 4), np.float32)).replace(b"(1, 4)", b"(9**9)"), "not npy"),
        (_npy(np.array(["text"])), "not npy"),
        (b"\x93NUMPY\x09\x09", "not npy"),
        (_npy(np.ones((1, 4))), "Input x is float64[1,4]; expected x=float32[1,4]"),
    ],
)
def test_an_npy_body_of_anything_but_the_expected_numbers_is_refused(
    body: bytes, part: str, handler: Handler
) -> None:
    (reply,) = batching.answer(handler, [body])
    assert reply.code is Code.INVALID
    assert part in reply.body.decode()


def test_safetensors_are_written_for_every_dtype_that_an_output_may_have() -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool):
        tensor = torch.ones(2, 3, dtype=dtype).t()
        assert torch.equal(safetensors.load(layouts.write({"y": tensor}))["y"], tensor)
    assert json.loads(layouts.write({"y": torch.ones(1)})[8:].split(b"}}")[0] + b"}}")["y"]["dtype"] == "F32"
