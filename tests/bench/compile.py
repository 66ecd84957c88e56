"""What the compiler promises about speed: `python -m tests.bench.compile [lanes] [recompile] [parallel]`.

One thread, medians, interleaved. The weights are random, so each tolerance here is what bf16 needs on them:
this measures speed, and the parity gate of a real model decides with the user's own tolerance.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.compile.request import CompileRequest, CompileResult, Lanes
from provisioning.compiling import compile_model
from provisioning.parallel import compile_in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.compile.contender import Checked, Trial
    from artifacts.compile.lanes import Course

MODELS = Path(__file__).with_name("models.py")
ROUNDS = 5
LANE_ROUNDS = 9
FRESH_ROUNDS = 9
NEAR = 1.3


@dataclass(frozen=True)
class Subject:
    name: str
    source: str
    spec: str
    atol: float
    limit: float  # of `freeze + optimize_for_inference`'s time, on a machine with AMX


SUBJECTS = (
    Subject("ResNet-50", f"{MODELS}:resnet50", "float32[1,3,224,224]:0..1", 10.0, 0.17),
    Subject("BERT-base, 128 tokens", f"{MODELS}:bert_base", "input_ids=int64[1,128]:0..30522", 0.1, 0.25),
)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def measure_lanes() -> None:
    """Race all lanes, then time those near the best again, in turns and in processes of their own."""
    for subject in SUBJECTS:
        with tempfile.TemporaryDirectory() as scratch:
            _measure_lanes(subject, Path(scratch))


def _measure_lanes(subject: Subject, directory: Path) -> None:
    from artifacts.compile.contender import time_again
    from artifacts.compile.lanes import choose, race
    from artifacts.compile.methods import heats

    course = _course(subject, directory)
    found = heats(course.method, course.trial.subject, course.progress)
    run = race(course, found)
    chosen = choose(run)
    for row in run.reports:
        say(f"  {row.lane:45} {'-' if row.ms is None else f'{row.ms:9.2f} ms'} {row.reason[:70]}")
    passed = [each for each in run.checked if each.parity.passed]
    best = min(each.ms for each in passed)
    again = [each for each in passed if each.ms <= best * NEAR or each.lane.name == "trace+freeze+optimize"]
    fresh = _interleaved(again, course.trial, time_again)
    fastest = min(fresh, key=lambda name: fresh[name])
    mine, base = fresh[chosen.lane.name], fresh["trace+freeze+optimize"]
    say(f"{subject.name}: chosen {chosen.lane.name} {mine:.2f} ms")
    say(f"  best of all lanes, timed again  {fastest} {fresh[fastest]:.2f} ms")
    say(f"  chosen / best of all lanes      {mine / fresh[fastest]:.3f}  (aim <= 1.02)")
    aim = f"aim <= {subject.limit} with AMX; AMX here: {_amx()}"
    say(f"  chosen / freeze+optimize        {mine / base:.3f}  ({aim})")
    if (directory / "aotinductor.pt").exists():
        measure_load(directory / "aotinductor.pt", course)


def _course(subject: Subject, directory: Path) -> Course:
    import torch

    from artifacts.compile.contender import Trial
    from artifacts.compile.lanes import Course
    from artifacts.compile.loading import load_model
    from artifacts.compile.parity import examine
    from artifacts.compile.request import Method
    from artifacts.compile.subject import prepare_subject
    from artifacts.specs import parse_specs

    torch.set_num_threads(1)
    prepared = prepare_subject(load_model(subject.source).module, parse_specs((subject.spec,)))
    prepared, cases = examine(prepared)
    trial = Trial(
        subject=prepared,
        cases=cases,
        atol=subject.atol,
        directory=directory,
        lock=directory / "timing.lock",
    )
    return Course(
        method=Method.TRACE,
        lanes=Lanes.ALL,
        trial=trial,
        transformed=True,
        native=True,
        gpu=False,
        progress=lambda line: say(f"    {line}"),
    )


def _interleaved(
    lanes: list[Checked], trial: Trial, time_again: Callable[[Checked, Trial, float], float]
) -> dict[str, float]:
    """Return the median of each lane's rounds, less what slowed whole rounds.

    The rounds are interleaved, in turns from either end, each timing in a fresh process.
    """
    from artifacts.compile.finals import evened

    rounds = []
    for number in range(LANE_ROUNDS):
        order = lanes if number % 2 else lanes[::-1]
        rounds.append({lane.lane.name: time_again(lane, trial, 300.0) for lane in order})
    names = [lane.lane.name for lane in lanes]
    for name in names:
        say(f"    {name}: {', '.join(f'{times[name]:.1f}' for times in rounds)} ms")
    return {name: statistics.median(found) for name, found in evened(rounds, names).items()}


def _amx() -> bool:
    from artifacts.serve.processor import processor_features

    return "amx_bf16" in processor_features()


def measure_load(package: Path, course: Course) -> None:
    """Time in fresh processes, from the end of `import torch`: the package loaded, and its first answer.

    The clock is the process's own: starting Python and importing torch take seconds, and vary by tenths.
    """
    from safetensors.torch import save_file

    from artifacts.compile.parity import EXAMPLE_SEED
    from artifacts.serve.sampling import sample

    request = package.with_name("request.safetensors")
    inputs = course.trial.subject.arguments(sample(course.trial.subject.inputs, EXAMPLE_SEED))
    save_file({str(place): tensor for place, tensor in enumerate(inputs)}, request)
    program = _FRESH.format(package=str(package), request=str(request))
    found = [_printed(program) for _ in range(FRESH_ROUNDS)]
    loaded, answered = (statistics.median(times) for times in zip(*found, strict=True))
    say(f"  .pt2 load over import torch     {loaded:.3f} s  (aim <= 0.1 s)")
    say(f"  and its first answer            {answered:.3f} s")


# What a host's worker does between `import torch` and its first answer.
_FRESH = """
import time, torch
from safetensors.torch import load_file
found = load_file({request!r})
started = time.perf_counter()
from pathlib import Path
from artifacts.serve.program import open_program
torch.set_num_threads(1)
run = open_program(Path({package!r}), "aotinductor", "none")
loaded = time.perf_counter()
with torch.inference_mode():
    run(*(found[str(place)] for place in range(len(found))))
print(loaded - started, time.perf_counter() - started)
"""


def _printed(program: str) -> tuple[float, ...]:
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return tuple(map(float, answer.stdout.split()))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _request(name: str, spec: str, directory: Path, lanes: Lanes, *, cache: bool) -> CompileRequest:
    return CompileRequest(
        model=f"{MODELS}:{name}",
        inputs=(spec,),
        target="c7i.xlarge",
        out_dir=directory,
        lanes=lanes,
        cache=cache,
        atol=10.0,
    )


def measure_recompile() -> None:
    """Compile twice with all lanes; the second time nothing changed."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = scratch
        request = _request("resnet18", "float32[1,3,224,224]:0..1", Path(scratch), Lanes.ALL, cache=True)
        first = _seconds(lambda: compile_model(request, lambda _: None))
        again = [_seconds(lambda: compile_model(request, lambda _: None)) for _ in range(ROUNDS)]
    ratio = statistics.median(again) / first
    say(f"ResNet-18, all lanes: first {first:.1f} s, unchanged {statistics.median(again):.2f} s")
    say(f"  unchanged / first               {ratio:.4f}  (aim <= 0.02)")


def measure_parallel() -> None:
    """Compile eight models one by one and on two cores."""
    with tempfile.TemporaryDirectory() as scratch:
        requests = tuple(
            _request(f"small{index}", "float32[1,3,64,64]:0..1", Path(scratch), Lanes.QUICK, cache=False)
            for index in range(8)
        )
        alone = [_seconds(partial(_quiet, each)) for each in requests]
        together = _seconds(lambda: compile_in_parallel(requests, lambda _: None, workers=2))
    bound = max(*alone, sum(alone) / 2)
    say(f"8 models: one by one {sum(alone):.1f} s, on 2 cores {together:.1f} s, bound {bound:.1f} s")
    say(f"  on 2 cores / bound              {together / bound:.3f}  (aim <= 1.15)")


def _quiet(request: CompileRequest) -> CompileResult:
    return compile_model(request, lambda _: None)


PARTS = {"lanes": measure_lanes, "recompile": measure_recompile, "parallel": measure_parallel}


def main() -> None:
    from artifacts.compile.environment import settle_environment

    settle_environment()
    for part in sys.argv[1:] or list(PARTS):
        PARTS[part]()


if __name__ == "__main__":
    main()
