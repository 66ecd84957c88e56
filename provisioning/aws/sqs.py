"""SQS: queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from collections.abc import Mapping


class Sqs:
    """The SQS calls this project makes."""

    def __init__(self, client: Any) -> None:  # its types are not among those we install
        self._client = client

    @translated("sqs:ListQueues")
    def queues(self, prefix: str | None = None) -> tuple[str, ...]:
        """Return the URLs of the queues whose names begin with the prefix."""
        wanted = {"QueueNamePrefix": prefix} if prefix else {}
        pages = self._client.get_paginator("list_queues").paginate(**wanted)
        return tuple(url for page in pages for url in page.get("QueueUrls", ()))

    @translated("sqs:ListQueueTags")
    def tags(self, url: str) -> Mapping[str, str]:
        """Return the tags of a queue."""
        found: Mapping[str, str] = self._client.list_queue_tags(QueueUrl=url).get("Tags", {})
        return found
