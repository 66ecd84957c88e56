"""What to know of a program before it goes to Elastic Inference.

https://docs.aws.amazon.com/elastic-inference/latest/developerguide/ei-pytorch.html: a traced model is usually
faster there, because every branch of a scripted graph is a crossing between the accelerator and the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artifacts.compile.graph import CONTROL_FLOW, nodes
from artifacts.serve.program import NO_PREPARATION, load_program

if TYPE_CHECKING:
    from pathlib import Path

_BRANCHY = 4


def crossing_warnings(program: Path) -> tuple[str, ...]:
    """Return a warning for a graph with many branches and loops."""
    graph = load_program(program, NO_PREPARATION).inlined_graph
    crossings = sum(node.kind() in CONTROL_FLOW for node in nodes(graph))
    if crossings < _BRANCHY:
        return ()
    warning = (
        f"The scripted graph keeps {crossings} branches and loops; on Elastic Inference each goes back to "
        "the host, and a traced model is usually faster. Compare with --method trace."
    )
    return (warning,)
