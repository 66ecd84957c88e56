from __future__ import annotations

import re

import pytest

from artifacts.compile.flags import FLAGS, check_flags, parse_flags, written
from artifacts.errors import BadRequest
from artifacts.targets import find


def test_flags_survive_being_written() -> None:
    flags = {"optlevel": "3", "auto-cast": "all"}
    assert written(flags) == ("auto-cast=all", "optlevel=3")
    assert parse_flags(written(flags)) == flags


@pytest.mark.parametrize(
    ("target", "flags"),
    [
        ("inf1.xlarge", {"fp32-cast": "matmult-fp16", "neuroncore-pipeline-cores": "64"}),
        ("inf2.xlarge", {"auto-cast": "all", "auto-cast-type": "fp8_e4m3", "min-subgraph-size": "-1"}),
        ("trn1.2xlarge", {"model-support-percentage-threshold": "1", "cpu-backend": "false"}),
        ("c7i.xlarge", {}),
    ],
)
def test_documented_values_are_taken(target: str, flags: dict[str, str]) -> None:
    check_flags(flags, find(target))


@pytest.mark.parametrize(
    ("target", "flags", "said"),
    [
        ("inf2.xlarge", {"auto-csat": "all"}, "Did you mean 'auto-cast'"),
        ("inf1.xlarge", {"auto-cast": "all"}, "auto-cast is for torch-neuronx, and inf1.xlarge.*fp32-cast"),
        ("inf2.xlarge", {"fp32-cast": "all"}, "fp32-cast is for torch-neuron, and inf2.xlarge.*auto-cast"),
        ("c7i.xlarge", {"optlevel": "1"}, "c7i.xlarge takes no such flags"),
        ("inf2.xlarge", {"optlevel": "4"}, "cannot be '4'. It is 1, 2 or 3"),
        ("inf2.xlarge", {"auto-cast": "yes"}, "none, matmult or all"),
        ("inf2.xlarge", {"auto-cast-type": "fp16"}, "without --auto-cast"),
        ("inf2.xlarge", {"model-support-percentage-threshold": "1.5"}, "above 0 and up to 1"),
        ("inf2.xlarge", {"model-support-percentage-threshold": "nan"}, "above 0 and up to 1"),
        ("inf2.xlarge", {"model-support-percentage-threshold": "half"}, "above 0 and up to 1"),
        ("inf1.xlarge", {"neuroncore-pipeline-cores": "65"}, "from 1 to 64"),
        ("inf1.xlarge", {"neuroncore-pipeline-cores": "-"}, "from 1 to 64"),
    ],
)
def test_what_a_compiler_does_not_take_is_a_bad_request(
    target: str, flags: dict[str, str], said: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        check_flags(flags, find(target))
    assert re.search(said, f"{refused.value.message} {refused.value.hint}")


def test_every_flag_says_its_default() -> None:
    assert all("[default: " in flag.help for flag in FLAGS.values())
