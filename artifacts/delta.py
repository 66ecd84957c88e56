"""What makes one byte string of another: which parts of it are kept, and what is new between them.

The parts are found as rsync finds them, by blocks of the old string that occur at any place of the new one,
and grown to where they end. Where only values changed, what follows them lies in the same place as before,
and that place is looked at first: a changed digest or checksum then costs its own bytes and three numbers.

A difference is the number of runs, three numbers for each, and the fresh bytes. A run is: how many fresh
bytes come next; how far to go from where the old string would go on beside them, around its end; how many of
its bytes are kept. Fresh bytes that no run takes come last. Numbers are LEB128, as in DWARF and WebAssembly.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK_BYTES = 16  # a part that is kept has at least these; its numbers cost less
_RUN_BYTES = 3  # of a run's three numbers, at least
_LARGEST = 1 << 31


def difference(base: bytes, target: bytes) -> bytes:
    """Return what `patched` makes the target of.

    Takes time linear in both, and about ten times the base's size in memory.
    """
    blocks = {base[at : at + BLOCK_BYTES]: at for at in range(0, len(base) - BLOCK_BYTES + 1, BLOCK_BYTES)}
    runs: list[int] = []
    fresh = bytearray()
    at = begun = resumed = 0  # in the target, where the fresh bytes begin; in the base, after what was kept
    while at <= len(target) - BLOCK_BYTES:
        expected, block = resumed + at - begun, target[at : at + BLOCK_BYTES]
        place = expected if base[expected : expected + BLOCK_BYTES] == block else blocks.get(block)
        if place is None:
            at += 1
            continue
        kept = _common(base, place, target, at)
        runs += (at - begun, (place - expected) % len(base), kept)
        fresh += target[begun:at]
        at = begun = at + kept
        resumed = place + kept
    return _written((len(runs) // 3, *runs)) + fresh + target[begun:]


def _common(base: bytes, place: int, target: bytes, at: int) -> int:
    """Return how many bytes are equal from both places on."""
    both = zip(memoryview(base)[place:], memoryview(target)[at:], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both))


def patched(base: bytes, told: bytes, most: int) -> bytes:
    """Return what the difference makes of the base.

    Raises ValueError for one that reaches beyond what there is, or makes more than `most` bytes.
    """
    bytes_left = iter(told)
    count = _number(bytes_left)
    if count * _RUN_BYTES > len(told) or count * BLOCK_BYTES > most or len(told) > most:
        raise ValueError(f"it is cut off, or larger than {most} bytes")
    runs = [_number(bytes_left) for _ in range(3 * count)]
    fresh = bytes(bytes_left)
    if len(fresh) + sum(runs[2::3]) > most:
        raise ValueError(f"it makes more than {most} bytes")
    parts: list[bytes] = []
    at = taken = 0
    for new, shift, kept in zip(*(iter(runs),) * 3, strict=True):
        parts.append(fresh[taken : taken + new])
        taken += new
        at = (at + new + shift) % max(len(base), 1)
        if taken > len(fresh) or at + kept > len(base):
            raise ValueError("it reaches beyond what there is")
        parts.append(base[at : at + kept])
        at += kept
    return b"".join([*parts, fresh[taken:]])


def _written(numbers: Iterable[int]) -> bytes:
    """Return the numbers, seven bits to a byte, the lowest first; the high bit says that more follow."""
    data = bytearray()
    for number in numbers:
        rest = number
        while rest > 0x7F:
            data.append(rest & 0x7F | 0x80)
            rest >>= 7
        data.append(rest)
    return bytes(data)


def _number(data: Iterator[int]) -> int:
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if number >= _LARGEST or shift > 63:
            raise ValueError("it has a number that is too large")
        if byte < 0x80:
            return number
    raise ValueError("it is cut off")
