"""How long the bucket keeps what is in it; the guard comes back when it is empty."""

from __future__ import annotations

REQUEST_DAYS = 7
RESULT_DAYS = 30
DAY_S = 86_400


def request_days(ttl_s: int) -> int:
    """Return after how many days a request is forgotten: hosts that come by themselves need the last one."""
    return REQUEST_DAYS + -(-ttl_s // DAY_S)


def keep_days(ttl_s: int) -> int:
    """Return after how many days the bucket forgets every object: not before a month after the expiry."""
    return RESULT_DAYS + -(-ttl_s // DAY_S)
