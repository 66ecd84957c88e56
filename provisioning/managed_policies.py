"""The deployer's policy in the pieces that IAM takes: managed policies, each within its limit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from artifacts.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# Without white space, and ten of them can be attached to one role or user unless its quota was raised:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
LIMIT_CHARACTERS = 6_144
Policy = dict[str, Any]
_EMPTY: Mapping[str, Any] = {"Version": "2012-10-17", "Statement": []}


def size(policy: Mapping[str, Any]) -> int:
    """Return how many characters IAM counts: all but white space, which none of our values holds."""
    return len(json.dumps(policy, separators=(",", ":")))


def managed_policies(policy: Policy, limit: int = LIMIT_CHARACTERS) -> tuple[Policy, ...]:
    """Return policies that grant together what this one grants, each of at most `limit` characters.

    The largest statements are placed first, each where it fits first; one that fits nowhere is cut in two
    by its actions. Raises ValueError when a single action is over the limit.
    """
    room = limit - size(_EMPTY)
    pieces = [piece for statement in policy["Statement"] for piece in _cut(statement, room)]
    bins: list[list[Policy]] = []
    for piece in sorted(pieces, key=_with_comma, reverse=True):
        fitting = (held for held in bins if sum(map(_with_comma, held)) + _with_comma(piece) <= room)
        held = next(fitting, None)
        if held is None:
            bins.append([piece])
        else:
            held.append(piece)
    return tuple({**_EMPTY, "Statement": held} for held in bins)


def _with_comma(statement: Policy) -> int:
    return size(statement) + 1


def _cut(statement: Policy, room: int) -> Iterable[Policy]:
    if _with_comma(statement) <= room:
        return (statement,)
    actions = statement["Action"]
    if isinstance(actions, str) or len(actions) == 1:
        raise ValueError(f"one action needs more than {room} characters: {actions}")
    middle = len(actions) // 2
    return (
        *_cut({**statement, "Action": actions[:middle]}, room),
        *_cut({**statement, "Action": actions[middle:]}, room),
    )


def policy_name(deployment: str, number: int) -> str:
    """Return the name that the piece of a deployment's policy has in IAM."""
    return f"amazonei-{deployment}-deployer-{number}"


def write_policies(policies: tuple[Policy, ...], deployment: str, directory: Path) -> tuple[Path, ...]:
    """Write each policy into a file named like it; files of a former answer with more pieces are removed."""
    paths = tuple(directory / f"{policy_name(deployment, n)}.json" for n, _ in enumerate(policies, 1))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, policy in zip(paths, policies, strict=True):
            beside = path.with_suffix(".json.new")
            beside.write_text(json.dumps(policy, indent=2) + "\n", encoding="utf-8")
            beside.replace(path)
        for stale in set(directory.glob(f"{policy_name(deployment, 0)[:-1]}[0-9].json")) - set(paths):
            stale.unlink()
    except OSError as error:
        raise BadRequest(
            f"The policies cannot be written to {directory}: {error.strerror}.",
            "Name a folder that you may write to: --policy-dir DIR.",
        ) from error
    return paths
