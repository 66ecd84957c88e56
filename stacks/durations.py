"""Durations as people write them: 90m, 8h, 2d, 1d12h."""

from __future__ import annotations

import re

from artifacts.errors import BadRequest

UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
PATTERN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)


def parse_duration(text: str) -> int:
    """Return the seconds of a duration; raises BadRequest when it is none, or zero."""
    match = PATTERN.fullmatch(text.strip())
    counts = match.groups(default="0") if match else ()
    seconds = sum(int(count) * unit for count, unit in zip(counts, UNITS.values(), strict=False))
    if seconds == 0:
        raise BadRequest(f"{text!r} is not a duration.", "Write it like 90m, 8h, 2d or 1d12h.")
    return seconds
