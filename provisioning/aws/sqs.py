"""SQS: queues."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from collections.abc import Mapping

LETTERS_AT_ONCE = 10  # the most that one ReceiveMessage returns


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A call that EventBridge Scheduler gave up on.

    The body is the call's input, the attribute ERROR_MESSAGE what its service answered:
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
    """

    id: str
    stack: str  # that was to be deleted; empty when the body does not say
    reason: str


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

    @translated("sqs:ReceiveMessage")
    def letters(self, url: str) -> tuple[Letter, ...]:
        """Return up to ten dead letters of a queue, and leave them there for others to read."""
        answer = self._client.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=LETTERS_AT_ONCE,
            VisibilityTimeout=0,
            MessageAttributeNames=["ERROR_MESSAGE"],
        )
        return tuple(_letter(message) for message in answer.get("Messages", ()))


def _letter(message: Mapping[str, Any]) -> Letter:
    reason = message.get("MessageAttributes", {}).get("ERROR_MESSAGE", {}).get("StringValue", "")
    return Letter(id=message["MessageId"], stack=_stack(message.get("Body", "")), reason=reason)


def _stack(body: str) -> str:
    try:
        wish = json.loads(body)
    except ValueError:
        return ""
    return str(wish.get("StackName", "")) if isinstance(wish, dict) else ""
