"""CloudWatch Logs: log groups, and the last lines in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient


class Logs:
    """The CloudWatch Logs calls this project makes."""

    def __init__(self, client: CloudWatchLogsClient) -> None:
        self._client = client

    @translated("logs:DescribeLogGroups")
    def log_groups(self, prefix: str) -> tuple[str, ...]:
        """Return the names of the log groups that begin with the prefix."""
        pages = self._client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
        return tuple(group["logGroupName"] for page in pages for group in page["logGroups"])

    @translated("logs:DescribeLogStreams")
    def streams_since(self, group: str, moment: float) -> tuple[str, ...]:
        """Return the streams of a group made since a moment (seconds since 1970), oldest first."""
        pages = self._client.get_paginator("describe_log_streams").paginate(logGroupName=group)
        found = sorted(
            (stream["creationTime"], stream["logStreamName"])
            for page in pages
            for stream in page["logStreams"]
        )
        return tuple(name for made, name in found if made >= int(moment * 1000))

    @translated("logs:GetLogEvents")
    def tail(self, group: str, stream: str, lines: int) -> tuple[str, ...]:
        """Return the last lines of a stream, oldest first."""
        answer = self._client.get_log_events(
            logGroupName=group, logStreamName=stream, limit=lines, startFromHead=False
        )
        return tuple(event["message"] for event in answer["events"])[-lines:]
