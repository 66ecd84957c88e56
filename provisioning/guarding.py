"""When the guard of a deployment deletes what."""

from __future__ import annotations

from datetime import datetime, timedelta

from stacks.storage_days import keep_days

# Hosts end first; the slowest of them take over a quarter of an hour.
FOUNDATION_DELAY = timedelta(minutes=30)
RETRY_DELAY = timedelta(hours=3)
# After the last object has expired S3 takes up to two days to delete its last version.
SWEEP_DELAY = timedelta(days=4)
SCHEDULE_TIME = "%Y-%m-%dT%H:%M:%S"


def guard_times(ends: datetime, ttl_s: int) -> dict[str, str]:
    """Return the parameters of the guard's template for a deployment that ends then."""
    moments = {
        "HostsEndAt": ends,
        "FoundationEndAt": ends + FOUNDATION_DELAY,
        "FoundationRetryAt": ends + RETRY_DELAY,
        "SweepAt": ends + timedelta(days=keep_days(ttl_s)) + SWEEP_DELAY,
    }
    return {name: moment.strftime(SCHEDULE_TIME) for name, moment in moments.items()}
