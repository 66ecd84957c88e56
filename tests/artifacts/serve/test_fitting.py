from __future__ import annotations

import dataclasses

import pytest
import torch

from artifacts.errors import BadRequest
from artifacts.serve.fitting import bucket_key, buckets, of_one, program_name
from artifacts.serve.handler import Handler
from artifacts.specs import TensorSpec, padded, parse_specs
from tests.artifacts.manifests import manifest_of

TOKENS = padded(parse_specs(("ids=int64[1..4,4|8]:0..100", "mask=int64[1..4,4|8]:0..2")), {"ids": 7})
ROWS, LENGTH = (axis for _, axis in TOKENS[0].axes)
EMBEDDED = TensorSpec(name="e", dtype="float32", shape=(4, 8), axes=((0, ROWS), (1, LENGTH)))
SUMMED = TensorSpec(name="s", dtype="float32", shape=(4,), axes=((0, ROWS),))


class Recorder:
    """A masked model of fixed shape that notes what it was run on."""

    def __init__(self, rows: int, length: int) -> None:
        self.shape = (rows, length)
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert tuple(ids.shape) == tuple(mask.shape) == self.shape
        self.seen.append((ids, mask))
        masked = (ids * mask).float()
        return masked, masked.sum(dim=1)


def served(
    inputs: tuple[TensorSpec, ...] = TOKENS, outputs: tuple[TensorSpec, ...] = (EMBEDDED, SUMMED)
) -> tuple[Handler, dict[str, Recorder]]:
    programs = {
        bucket_key(inputs, bucket): Recorder(bucket.get(ROWS, 1), bucket[LENGTH])
        for bucket in reversed(buckets(inputs))
    }
    return Handler(manifest_of(inputs=inputs, outputs=outputs), programs), programs


def request(rows: int, length: int, start: int = 1) -> dict[str, torch.Tensor]:
    ids = torch.arange(start, start + rows * length).view(rows, length)
    return {"ids": ids, "mask": torch.ones_like(ids)}


def test_a_request_is_filled_up_to_the_next_size_and_its_answer_cut_back() -> None:
    handler, programs = served()
    asked = request(3, 5)
    (answer,) = handler.predict_batch([asked])
    ((ids, mask),) = programs["4x8"].seen
    assert ids[:3, :5].equal(asked["ids"])
    assert (ids[:, 5:] == 7).all()  # the padding value of ids
    assert mask.tolist() == [[1] * 5 + [0] * 3] * 4
    assert ids[3].equal(ids[0])  # rows that nobody asked for are copies of one that is valid
    assert answer["e"].equal(asked["ids"].float())
    assert answer["s"].equal(asked["ids"].sum(dim=1).float())


def test_a_request_of_a_compiled_size_is_left_alone() -> None:
    handler, programs = served()
    asked = request(2, 4)
    handler.predict_batch([asked])
    assert programs["2x4"].seen[0][0].equal(asked["ids"])


def test_requests_are_stacked_as_far_as_the_largest_batch_goes() -> None:
    handler, programs = served()
    asked = [request(1, 3, 10), request(2, 5, 20), request(1, 8, 40), request(1, 2, 60)]
    assert handler.batch_limit == 4
    answers = handler.predict_batch(asked)
    assert [len(program.seen) for program in programs.values()] == [1, 0, 0, 0, 0, 1]
    for each, answer in zip(asked, answers, strict=True):
        assert answer["e"].equal(each["ids"].float())
        assert answer["s"].equal(each["ids"].sum(dim=1).float())


def test_no_requests_are_no_answers() -> None:
    assert served()[0].predict_batch([]) == []


def test_without_a_range_of_rows_requests_are_answered_one_by_one() -> None:
    fixed = parse_specs(("ids=int64[1,4|8]", "mask=int64[1,4|8]"))
    outputs = (
        dataclasses.replace(EMBEDDED, shape=(1, 8), axes=((1, LENGTH),)),
        dataclasses.replace(SUMMED, shape=(1,), axes=()),
    )
    handler, programs = served(fixed, outputs)
    assert handler.batch_limit == 1
    answers = handler.predict_batch([request(1, 8), request(1, 6)])
    assert [answer["e"].shape for answer in answers] == [(1, 8), (1, 6)]
    assert len(programs["8"].seen) == 2


@pytest.mark.parametrize(
    ("rows", "length", "said"),
    [(1, 9, r"ids is int64\[1,9\]; expected ids=int64\[1..4,1..8\]"), (5, 8, r"1..4"), (1, 0, r"1..8")],
)
def test_a_request_outside_of_the_range_is_told_the_limit(rows: int, length: int, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        served()[0].check(request(rows, length))


def test_a_mask_of_another_length_than_its_tokens_is_refused() -> None:
    asked = request(1, 5)
    with pytest.raises(BadRequest, match="mask is 4, and 5 in another input"):
        served()[0].check({"ids": asked["ids"], "mask": asked["mask"][:, :4]})


def test_every_program_has_a_name_and_the_largest_the_plain_one() -> None:
    names = [program_name(TOKENS, bucket) for bucket in buckets(TOKENS)]
    assert names[0] == "program.pt"
    assert sorted(names[1:]) == [f"program-{key}.pt" for key in ("1x4", "1x8", "2x4", "2x8", "4x4")]
    assert buckets(parse_specs(("float32[1,3]",))) == ({},)


def test_warming_up_runs_every_program() -> None:
    handler, programs = served()
    handler.warm_up(2)
    assert [len(program.seen) for program in programs.values()] == [2] * 6


def test_a_measured_request_has_the_fewest_rows_and_the_largest_length() -> None:
    assert [spec.shape for spec in of_one(TOKENS)] == [(1, 8), (1, 8)]
