"""How long the bucket keeps what is in it; the guard comes back when it is empty."""

from __future__ import annotations

# What was measured is on the machine that measured it; this is for who comes back to an expired deployment.
DAYS_AFTER_EXPIRY = 7
DAY_S = 86_400


def keep_days(ttl_s: int) -> int:
    """Return after how many days the bucket forgets an object: not before a week after the expiry.

    A host that a group adds on the last day needs what was shipped on the first.
    """
    return DAYS_AFTER_EXPIRY + -(-ttl_s // DAY_S)
