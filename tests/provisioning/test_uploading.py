"""What is sent, how often, and what is told about it; requests and bytes are counted."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save

from artifacts.errors import ArtifactRefused
from artifacts.recipe import PIECE_BYTES, assemble, base_key, delta, packed
from provisioning.aws.blocks import BLOCK_BYTES
from provisioning.errors import AwsError, NotFound
from provisioning.transfers import CONNECTIONS
from provisioning.uploading import Upload, _Sending, store
from tests.artifacts.test_recipe import fetched, noise, recipe_of, upload, zipped
from tests.provisioning.declared import StillClock
from tests.provisioning.heads import changed_bytes
from tests.provisioning.operated import Bucket

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from artifacts.recipe import Piece
    from provisioning.aws.blocks import Blocks
    from provisioning.aws.s3 import ListedObject, ObjectRecord
    from provisioning.cutting import Extent
    from provisioning.uploading import Stored

LAYERS = 12


def program(head: int = 0, *, inserted: bool = False, labels: int = 768, tuned: int = 0) -> bytes:
    """An archive like a BERT's: a zip of stored tensors in the archive; `head` seeds the last two."""
    tensors = {
        f"data/{layer}.{part}": noise(size, 10 * layer + index + 5000 * tuned)
        for layer in range(LAYERS)
        for index, (part, size) in enumerate({"weight": 300_000, "bias": 3_000, "norm": 3_000}.items())
    }
    if inserted:
        tensors = {"data/first": noise(3_000, 999), **tensors}
    weight, bias = noise(labels * 768 * 4, 1000 + head), noise(labels * 4, 2000 + head)
    tensors |= {"data/head.weight": weight, "data/head.bias": bias}
    return zipped({"manifest.json": b"{}" + bytes([head]), "program.pt": zipped(tensors)})


def tensors_file(tensors: Mapping[str, bytes]) -> bytes:
    """A safetensors file of bytes."""
    arrays = {name: np.frombuffer(data, np.uint8) for name, data in tensors.items()}
    return save(arrays)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def rebuilt(bucket: Bucket, key: str, folder: Path) -> bytes:
    """What a host makes of the recipe and its pieces."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    assemble(fetched(bucket, folder / "pieces", key), folder / "pieces", folder / "whole")
    return (folder / "whole").read_bytes()


def pieces_of(bucket: Bucket) -> set[str]:
    return {key for key in bucket.objects if "/pieces/" in key and not key.endswith(".recipe")}


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


def new_head(bucket: Bucket, folder: Path, labels: int) -> tuple[Stored, list[int]]:
    """Ship a second head after a first one; return what was stored, and the sizes of the pieces sent."""
    store(upload(bucket), write(folder / "a.aei", program(head=1, labels=labels)))
    bucket.requests.clear()
    second = write(folder / "b.aei", program(head=2, labels=labels))
    stored = store(upload(bucket, "artifacts/models/e.recipe"), second)
    assert rebuilt(bucket, "artifacts/models/e.recipe", folder) == second.read_bytes()
    return stored, [size for _, key, size in bucket.requests if key in pieces_of(bucket)]


@pytest.mark.parametrize("labels", [1, 2, 16, 768])
def test_a_new_head_sends_little_more_than_its_own_bytes(labels: int, tmp_path: Path) -> None:
    stored, _ = new_head(Bucket(), tmp_path, labels)
    changed = changed_bytes((tmp_path / "a.aei").read_bytes(), (tmp_path / "b.aei").read_bytes())
    assert labels * 769 * 4 < changed < labels * 769 * 4 + 50, "the head, one byte, and checksums of them"
    assert stored.bytes <= 1.05 * changed


def test_a_head_of_two_labels_takes_no_neighbour_along(tmp_path: Path) -> None:
    bucket = Bucket()
    _, pieces = new_head(bucket, tmp_path, labels=2)
    assert pieces == [2 * 768 * 4]  # the weight; the recipe tells the bias and the manifest
    verbs = Counter(verb for verb, _, _ in bucket.requests)
    assert verbs == {"HEAD": 1, "LIST": 1, "GET": 1, "PUT": 2}


def test_a_directory_of_many_members_costs_no_more_than_its_checksums(tmp_path: Path) -> None:
    def version(head: int) -> bytes:
        tensors = {f"data/{'encoder.' * 5}{number}": noise(100, number) for number in range(1500)}
        return zipped({"program.pt": zipped({**tensors, "data/head": noise(2 * 768 * 4, head)})})

    bucket = Bucket()
    store(upload(bucket), write(tmp_path / "a.aei", version(5001)))
    stored = store(upload(bucket, "artifacts/models/e.recipe"), write(tmp_path / "b.aei", version(5002)))
    assert stored.bytes <= 1.05 * 2 * 768 * 4


def test_where_much_is_sent_the_recipe_stands_for_itself(tmp_path: Path) -> None:
    """A delta costs each host another fetch, which a hundredth of the bytes is not worth."""
    bucket = Bucket()
    new_head(bucket, tmp_path, labels=2048)
    recipe, base = bucket.requests[-1], bucket.requests[-2]
    assert recipe[1] == "artifacts/models/e.recipe"
    assert bucket.objects[recipe[1]] == bucket.objects[base[1]]
    assert base[1].endswith(".recipe")
    assert not [verb for verb, _, _ in bucket.requests if verb == "GET"]


def test_a_recipe_is_a_delta_of_the_newest_that_it_is_most_like(tmp_path: Path) -> None:
    """After a fine-tuning of everything, the heads that follow are told by what differs from it."""
    bucket = Bucket()
    versions = [program(labels=2), program(tuned=1, labels=2), program(tuned=2, labels=2), noise(100_000)]
    for number, data in enumerate(versions):
        store(upload(bucket, f"artifacts/models/{number}.recipe"), write(tmp_path / "a.aei", data))
    bucket.requests.clear()
    path = write(tmp_path / "b.aei", program(head=2, tuned=1, labels=2))
    stored = store(upload(bucket, "artifacts/models/e.recipe"), path)
    assert stored.bytes <= 1.05 * 2 * 769 * 4
    assert [verb for verb, _, _ in bucket.requests].count("GET") == 3
    assert rebuilt(bucket, "artifacts/models/e.recipe", tmp_path) == path.read_bytes()


def test_no_more_than_the_newest_four_are_asked_for(tmp_path: Path) -> None:
    bucket = Bucket()
    for number in range(6):
        data = program(tuned=number, labels=2)
        store(upload(bucket, f"artifacts/models/{number}.recipe"), write(tmp_path / "a.aei", data))
    bases = [key for key in bucket.objects if key.endswith(".recipe") and "/pieces/" in key]
    bucket.requests.clear()
    store(upload(bucket, "artifacts/models/e.recipe"), write(tmp_path / "b.aei", program(head=2, labels=2)))
    assert {key for verb, key, _ in bucket.requests if verb == "GET"} == set(bases[2:])


@pytest.mark.parametrize("way", ["gone", "no recipe", "another recipe", "a delta", "too large"])
def test_a_base_that_is_of_no_use_is_not_built_upon(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket()
    store(upload(bucket), write(tmp_path / "a.aei", program(head=1, labels=2)))
    base = next(key for key in bucket.objects if key.endswith(".recipe") and "/pieces/" in key)
    whole, other = zlib.decompress(bucket.objects[base]), noise(1000)
    if way == "gone":

        def get_object(name: str, key: str) -> bytes:
            raise NotFound(f"no {key}")

        monkeypatch.setattr(bucket, "get_object", get_object)
    elif way == "too large":
        monkeypatch.setattr("provisioning.committing.MOST_DELTA_BYTES", 100)
    elif way == "a delta":  # which makes the very document that its key names; hosts go no further than one
        bucket.objects[base_key("artifacts/pieces/net/", hashlib.sha256(other).hexdigest())] = packed(other)
        bucket.objects[base] = delta(whole, other, "artifacts/pieces/net/")
    elif way == "another recipe":
        bucket.objects[base] = packed(whole + b"x")
    else:
        bucket.objects[base] = bytes(len(bucket.objects[base]))
    path = write(tmp_path / "b.aei", program(head=2, labels=2))
    store(upload(bucket, "artifacts/models/e.recipe"), path)
    monkeypatch.undo()
    del bucket.objects[base]
    assert rebuilt(bucket, "artifacts/models/e.recipe", tmp_path) == path.read_bytes()


def test_an_unchanged_artifact_whose_recipe_is_a_delta_costs_one_request(tmp_path: Path) -> None:
    bucket = Bucket()
    first, _ = new_head(bucket, tmp_path, labels=2)
    bucket.requests.clear()
    again = store(upload(bucket, first.key), tmp_path / "b.aei")
    assert bucket.requests == [("HEAD", first.key, 0)]
    assert (again.sha256, again.objects, again.bytes) == (first.sha256, 0, 0)
    whole = store(upload(bucket, first.key), tmp_path / "b.aei", resend=True)
    assert whole.sha256 == first.sha256
    assert bucket.objects[first.key] == packed(recipe_of(bucket, first.key).document())


def test_members_of_other_folders_do_not_travel_along(tmp_path: Path) -> None:
    """PyTorch names a program by its contents in a folder of its own, after the last code or tensor."""

    def named(content: bytes) -> bytes:
        tensors = {f"archive/data/{number}": noise(3_000, number) for number in range(3)}
        return zipped({"program.pt": zipped({**tensors, "archive/code/net.py": content})})

    bucket = Bucket()
    store(upload(bucket), write(tmp_path / "a.aei", named(b"1" * 400)))
    bucket.requests.clear()
    store(upload(bucket, "artifacts/models/e.recipe"), write(tmp_path / "b.aei", named(b"2" * 400)))
    assert [size for _, key, size in bucket.requests if key in pieces_of(bucket)] == [400]


def test_a_digit_of_the_manifest_and_the_answers_to_a_large_input_cost_themselves(tmp_path: Path) -> None:
    """The golden requests hold the input too, which is the same for each version."""

    def version(number: int) -> bytes:
        golden = {"image": noise(600_000), "scores": noise(40, number)}
        manifest = b'{"digest":"' + hashlib.sha256(bytes([number])).hexdigest().encode() + noise(2000) + b'"}'
        return zipped({"manifest.json": manifest, "golden.safetensors": tensors_file(golden)})

    bucket = Bucket()
    store(upload(bucket), write(tmp_path / "a.aei", version(1)))
    bucket.requests.clear()
    path = write(tmp_path / "b.aei", version(2))
    stored = store(upload(bucket, "artifacts/models/e.recipe"), path)
    assert stored.bytes < 64 + 40 + 250
    assert rebuilt(bucket, "artifacts/models/e.recipe", tmp_path) == path.read_bytes()


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
    assert recipe_of(bucket, "artifacts/models/e.recipe").prefix == "artifacts/pieces/my-net-2/"


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


def test_the_same_artifact_in_other_bytes_goes_beside_the_one_that_hosts_may_be_asked_for(
    tmp_path: Path,
) -> None:
    """Signed anew, or cut by another version of the tool: the key is the artifact's, the bytes are not."""
    bucket = Bucket()
    paths = [write(tmp_path / f"{number}.aei", program(head=number)) for number in range(2)]
    first, second = (store(upload(bucket), path) for path in paths)
    assert second.key != first.key
    for stored, path in zip((first, second), paths, strict=True):
        assert rebuilt(bucket, stored.key, tmp_path) == path.read_bytes()
        assert hashlib.sha256(recipe_of(bucket, stored.key).document()).hexdigest() == stored.sha256
    for path, asked in zip(paths, ([first.key], [first.key, second.key]), strict=True):
        bucket.requests.clear()
        store(upload(bucket), path)
        assert [(verb, key) for verb, key, _ in bucket.requests] == [("HEAD", key) for key in asked]
    store(upload(bucket), paths[1], resend=True)
    assert rebuilt(bucket, first.key, tmp_path) == paths[0].read_bytes()


def test_a_recipe_that_somebody_put_over_ours_is_replaced(tmp_path: Path) -> None:
    bucket, path = Bucket(), write(tmp_path / "a.aei", program())
    first = store(upload(bucket), path)
    bucket.objects[first.key], bucket.notes[first.key] = b"theirs", {}
    again = store(upload(bucket), path)
    assert (again.key, again.objects) == (first.key, 2)
    assert rebuilt(bucket, first.key, tmp_path) == path.read_bytes()


def test_another_upload_that_commits_first_is_no_error(tmp_path: Path) -> None:
    class Raced(Bucket):
        def listed(self, bucket: str, prefix: str) -> tuple[ListedObject, ...]:
            self.objects["artifacts/models/d.recipe"] = b"the other's, and the same"
            return super().listed(bucket, prefix)

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
    assert said[-1] == "sent 33.6 MB in 4 objects; 0 bytes were there"
    assert "of 34 MB" in said[0]
    assert "MB/s, " in said[0]
    assert said[0].endswith(" s left")


def test_a_large_piece_tells_how_far_it_is(tmp_path: Path) -> None:
    clock, said = StillClock(), list[str]()

    class Slow(Bucket):
        def put_blocks(self, bucket: str, key: str, body: Blocks, sha256: bytes) -> None:
            for _ in body:
                clock.now += 2.0
            body.seek(0)
            super().put_blocks(bucket, key, body, sha256)

    plan: Upload = replace(upload(Slow()), clock=clock, say=said.append)
    store(plan, write(tmp_path / "a.aei", noise(4 * BLOCK_BYTES)))
    assert [line.partition(" of ")[0] for line in said[:3]] == ["2", "3", "4"]


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
    assert store(upload(Watched()), path).objects == 3 * CONNECTIONS + 2
    assert most[0] == CONNECTIONS


def test_pieces_are_hashed_while_it_is_asked_what_is_there(tmp_path: Path) -> None:
    """The answer to the first question comes when everything but that is done."""
    hashed, bundles = threading.Event(), 3

    class Late(Bucket):
        def head_object(self, bucket: str, key: str) -> ObjectRecord | None:
            assert hashed.wait(timeout=60), "nothing is hashed before the answer"
            return super().head_object(bucket, key)

    class Noting(Late):
        def listed(self, bucket: str, prefix: str) -> tuple[ListedObject, ...]:
            assert [verb for verb, _, _ in self.requests] == ["HEAD"], "nothing is sent before it is known"
            return super().listed(bucket, prefix)

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
    assert stored.objects == bundles + 2
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
