"""What is sent, how often, and what is told about it; requests and bytes are counted."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from artifacts.errors import ArtifactRefused
from artifacts.recipe import PIECE_BYTES, Recipe
from provisioning.errors import AwsError
from provisioning.uploading import CONNECTIONS, Upload, _Sending, store
from tests.artifacts.test_recipe import noise, upload, zipped
from tests.provisioning.declared import StillClock
from tests.provisioning.operated import Bucket

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from artifacts.recipe import Piece
    from provisioning.aws.blocks import Blocks
    from provisioning.aws.s3 import ObjectRecord
    from provisioning.cutting import Extent

LAYERS = 12


def program(head: int = 0, *, inserted: bool = False, labels: int = 768) -> bytes:
    """An archive like a BERT's: a zip of stored tensors in the archive; `head` seeds the last two."""
    tensors = {
        f"data/{layer}.{part}": noise(size, 10 * layer + index)
        for layer in range(LAYERS)
        for index, (part, size) in enumerate({"weight": 300_000, "bias": 3_000, "norm": 3_000}.items())
    }
    if inserted:
        tensors = {"data/first": noise(3_000, 999), **tensors}
    weight, bias = noise(labels * 768 * 4, 1000 + head), noise(labels * 4, 2000 + head)
    tensors |= {"data/head.weight": weight, "data/head.bias": bias}
    return zipped({"manifest.json": b"{}" + bytes([head]), "program.pt": zipped(tensors)})


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def sent(bucket: Bucket) -> int:
    return sum(size for verb, _, size in bucket.requests if verb == "PUT")


def test_a_new_artifact_costs_a_look_a_listing_its_pieces_and_last_the_recipe(tmp_path: Path) -> None:
    bucket, path = Bucket(), write(tmp_path / "a.aei", program())
    stored = store(upload(bucket), path)
    verbs = [verb for verb, _, _ in bucket.requests]
    assert (verbs[:2], set(verbs[2:])) == (["HEAD", "LIST"], {"PUT"})
    assert bucket.requests[-1][1] == stored.key
    assert (stored.objects, stored.bytes) == (len(verbs) - 2, sent(bucket))
    assert len(verbs) < 40, "small tensors share objects"


def test_an_unchanged_artifact_costs_one_request_and_no_data(tmp_path: Path) -> None:
    bucket, path = Bucket(), write(tmp_path / "a.aei", program())
    first = store(upload(bucket), path)
    bucket.requests.clear()
    again = store(upload(bucket), path)
    assert bucket.requests == [("HEAD", first.key, 0)]
    assert (again.sha256, again.objects, again.bytes) == (first.sha256, 0, 0)


def test_a_new_head_sends_little_more_than_its_own_bytes(tmp_path: Path) -> None:
    bucket = Bucket()
    store(upload(bucket), write(tmp_path / "a.aei", program(head=1)))
    bucket.requests.clear()
    store(upload(bucket, "artifacts/models/e.recipe"), write(tmp_path / "b.aei", program(head=2)))
    assert sent(bucket) <= 1.05 * 768 * 769 * 4
    assert Counter(verb for verb, _, _ in bucket.requests if verb != "PUT") == {"HEAD": 1, "LIST": 1}


def test_a_head_of_two_labels_takes_no_neighbour_along(tmp_path: Path) -> None:
    bucket = Bucket()
    store(upload(bucket), write(tmp_path / "a.aei", program(head=1, labels=2)))
    bucket.requests.clear()
    stored = store(
        upload(bucket, "artifacts/models/e.recipe"), write(tmp_path / "b.aei", program(head=2, labels=2))
    )
    pieces = sorted(size for verb, key, size in bucket.requests if verb == "PUT" and "/pieces/" in key)
    assert pieces[-1] == 2 * 768 * 4
    assert sum(pieces) == 2 * 769 * 4 + 3  # the weight, the bias, the manifest
    assert stored.bytes < sum(pieces) + 4_000


def test_members_of_other_folders_do_not_travel_along(tmp_path: Path) -> None:
    """PyTorch names a program by its contents in a folder of its own, after the last code or tensor."""

    def named(content: bytes) -> bytes:
        tensors = {f"archive/data/{number}": noise(3_000, number) for number in range(3)}
        return zipped({"program.pt": zipped({**tensors, "archive/.data/serialization_id": content})})

    bucket = Bucket()
    store(upload(bucket), write(tmp_path / "a.aei", named(b"1" * 40)))
    bucket.requests.clear()
    store(upload(bucket, "artifacts/models/e.recipe"), write(tmp_path / "b.aei", named(b"2" * 40)))
    assert [size for verb, key, size in bucket.requests if verb == "PUT" and "/pieces/" in key] == [40]


def test_a_tensor_that_is_put_in_shifts_nothing_but_its_neighbours(tmp_path: Path) -> None:
    bucket = Bucket()
    store(upload(bucket), write(tmp_path / "a.aei", program()))
    bucket.requests.clear()
    store(upload(bucket, "artifacts/models/e.recipe"), write(tmp_path / "b.aei", program(inserted=True)))
    pieces = [size for verb, key, size in bucket.requests if verb == "PUT" and "/pieces/" in key]
    assert sum(pieces) < 150_000


def test_equal_tensors_are_sent_once(tmp_path: Path) -> None:
    bucket, tied = Bucket(), noise(100_000)
    path = write(tmp_path / "a.aei", zipped({"embedding": tied, "decoder": tied}))
    store(upload(bucket), path)
    assert 100_000 < sent(bucket) < 102_000


def test_models_of_another_name_share_nothing_so_that_a_listing_stays_short(tmp_path: Path) -> None:
    bucket, path = Bucket(), write(tmp_path / "a.aei", program())
    store(upload(bucket, scope="net"), path)
    store(upload(bucket, "artifacts/models/e.recipe", scope="my net/2"), path)
    prefixes = {key.rpartition("/")[0] for key in bucket.objects if "/pieces/" in key}
    assert prefixes == {"artifacts/pieces/net", "artifacts/pieces/my-net-2"}
    assert Recipe.decode(bucket.objects["artifacts/models/e.recipe"]).prefix == "artifacts/pieces/my-net-2/"


class Failing(Bucket):
    """A bucket that goes away after some pieces."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after
        self._lock = threading.Lock()

    def put_blocks(self, bucket: str, key: str, body: Blocks, sha256: bytes) -> None:
        with self._lock:
            self._left -= 1
            if self._left < 0:
                raise AwsError("gone", operation="s3:PutObject", aws_code="ServiceUnavailable")
            super().put_blocks(bucket, key, body, sha256)


def test_an_upload_that_failed_commits_nothing_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    bucket, path = Failing(after=5), write(tmp_path / "a.aei", program())
    with pytest.raises(AwsError, match="gone"):
        store(upload(bucket), path)
    there = set(bucket.objects)
    assert len(there) == 5
    assert not any(key.startswith("artifacts/models/") for key in there)
    bucket._left = 1000
    bucket.requests.clear()
    store(upload(bucket), path)
    again = {key for verb, key, _ in bucket.requests if verb == "PUT"}
    assert not again & there


def test_a_piece_that_was_cut_off_is_sent_again_and_everything_where_that_is_asked(tmp_path: Path) -> None:
    bucket, path = Bucket(), write(tmp_path / "a.aei", program())
    first = store(upload(bucket), path)
    key = max((key for key in bucket.objects if "/pieces/" in key), key=lambda key: len(bucket.objects[key]))
    whole, bucket.objects[key] = bucket.objects[key], b"short"
    del bucket.objects[first.key]
    assert store(upload(bucket), path).objects == 2
    assert bucket.objects[key] == whole
    bucket.objects[key] = bytes(len(whole))  # the same size: only a host would notice
    assert store(upload(bucket), path).objects == 0
    assert store(upload(bucket), path, resend=True).bytes == first.bytes
    assert bucket.objects[key] == whole


def test_another_upload_that_commits_first_is_no_error(tmp_path: Path) -> None:
    class Raced(Bucket):
        def sizes(self, bucket: str, prefix: str) -> dict[str, int]:
            self.objects["artifacts/models/d.recipe"] = b"the other's, and the same"
            return super().sizes(bucket, prefix)

    bucket = Raced()
    store(upload(bucket), write(tmp_path / "a.aei", program()))
    assert bucket.objects["artifacts/models/d.recipe"] == b"the other's, and the same"


def test_progress_has_a_rate_and_the_time_that_is_left(tmp_path: Path) -> None:
    clock, said = StillClock(), list[str]()

    class Slow(Bucket):
        def put_blocks(self, bucket: str, key: str, body: Blocks, sha256: bytes) -> None:
            with lock:  # one after the other: two seconds each
                super().put_blocks(bucket, key, body, sha256)
                clock.now += 2.0

    lock = threading.Lock()
    plan: Upload = replace(upload(Slow()), clock=clock, say=said.append)
    store(plan, write(tmp_path / "a.aei", noise(2 * PIECE_BYTES)))
    assert said[-1] == "sent 33.6 MB in 2 pieces; 0.0 MB were there"
    assert "of 34 MB" in said[0]
    assert "MB/s, " in said[0]
    assert said[0].endswith(" s left")


def test_as_many_pieces_travel_at_once_as_there_are_connections_and_no_more(tmp_path: Path) -> None:
    together, most = threading.Barrier(CONNECTIONS), [0]
    lock, travelling = threading.Lock(), [0]

    class Watched(Bucket):
        def put_blocks(self, bucket: str, key: str, body: Blocks, sha256: bytes) -> None:
            with lock:
                travelling[0] += 1
                most[0] = max(most[0], travelling[0])
            together.wait(timeout=60)
            with lock:
                travelling[0] -= 1
                super().put_blocks(bucket, key, body, sha256)

    members = {f"data/{number}": noise(70_000, number) for number in range(3 * CONNECTIONS)}
    path = write(tmp_path / "a.aei", zipped(members))
    assert store(upload(Watched()), path).objects == 3 * CONNECTIONS + 1
    assert most[0] == CONNECTIONS


def test_pieces_are_hashed_while_it_is_asked_what_is_there(tmp_path: Path) -> None:
    """The answer to the first question comes when everything but that is done."""
    hashed, bundles = threading.Event(), 3

    class Late(Bucket):
        def head_object(self, bucket: str, key: str) -> ObjectRecord | None:
            assert hashed.wait(timeout=60), "nothing is hashed before the answer"
            return super().head_object(bucket, key)

    class Noting(Late):
        def sizes(self, bucket: str, prefix: str) -> dict[str, int]:
            assert [verb for verb, _, _ in self.requests] == ["HEAD"], "nothing is sent before it is known"
            return super().sizes(bucket, prefix)

    bucket = Noting()
    path = write(tmp_path / "a.aei", zipped({f"data/{n}": noise(70_000, n) for n in range(bundles)}))
    plan = upload(bucket)
    with pytest.MonkeyPatch.context() as patched:
        named = _Sending._named
        seen: list[int] = []

        def watched(sending: _Sending, extents: Sequence[Extent]) -> Piece:
            piece = named(sending, extents)
            seen.append(piece.size)
            if len(seen) == bundles:
                hashed.set()
            return piece

        patched.setattr(_Sending, "_named", watched)
        stored = store(plan, path)
    assert len(seen) == bundles, "each is hashed once"
    assert stored.objects == bundles + 1
    assert store(plan, path).objects == 0


def test_a_file_that_changes_between_hashing_and_sending_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.aei", noise(100_000))

    class Changing(Bucket):
        def put_blocks(self, bucket: str, key: str, body: Blocks, sha256: bytes) -> None:
            path.write_bytes(noise(100_000, 1))  # in place: the file that is open
            super().put_blocks(bucket, key, body, sha256)

    bucket = Changing()
    with pytest.raises(ArtifactRefused, match="changed while it was read"):
        store(upload(bucket), path)
    assert not bucket.objects
