"""What a server has answered since it started, read from its metrics."""

from __future__ import annotations

import re
from dataclasses import dataclass

# mosec counts answers: `mosec_service_throughput_total{code="200",endpoint="/inference"} 12`.
_ANSWERED = re.compile(r'^mosec_service_throughput_total\{code="(\d{3})"[^}]*\} ([0-9.]+)$', re.MULTILINE)
_REMAINING = re.compile(r"^mosec_service_remaining_task(?:\{[^}]*\})? ([0-9.]+)$", re.MULTILINE)
# Timed out, too many at once, or failed inside: none of them for what the client sent.
_OURS = frozenset({408, 429})


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests answered, and how; `waiting` are accepted and not answered."""

    requests: int
    refused: int  # 4xx: the client sent what the model does not take
    errors: int  # timed out, turned away or failed
    waiting: int


def read_traffic(metrics: str) -> Traffic:
    """Return the traffic that metrics in Prometheus' text form tell of."""
    answered = {int(code): int(float(number)) for code, number in _ANSWERED.findall(metrics)}
    errors = sum(number for code, number in answered.items() if code >= 500 or code in _OURS)
    refused = sum(number for code, number in answered.items() if 400 <= code < 500 and code not in _OURS)
    waiting = _REMAINING.search(metrics)
    return Traffic(
        requests=sum(answered.values()),
        refused=refused,
        errors=errors,
        waiting=int(float(waiting[1])) if waiting else 0,
    )
