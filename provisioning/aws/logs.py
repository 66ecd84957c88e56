"""CloudWatch Logs: log groups."""

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
