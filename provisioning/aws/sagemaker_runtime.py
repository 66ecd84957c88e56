"""SageMaker Runtime: requests to endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from artifacts.errors import BadRequest
from provisioning.aws.translation import translated


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an endpoint answered."""

    body: bytes
    content_type: str


class SageMakerRuntime:
    """The SageMaker Runtime calls this project makes."""

    def __init__(self, client: Any) -> None:  # its types are not among those we install
        self._client = client

    @translated("sagemaker:InvokeEndpoint")
    def invoke(self, endpoint: str, body: bytes, content_type: str) -> Answer:
        """Send one request; raise `BadRequest` in the model's words when it refuses the request itself."""
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=endpoint, Body=body, ContentType=content_type, Accept=content_type
            )
        except ClientError as error:
            told: dict[str, Any] = dict(error.response)
            if (
                told.get("Error", {}).get("Code") == "ModelError"
                and told.get("OriginalStatusCode", 500) < 500
            ):
                # Below the message the toolkit writes its traceback, which is for the container's log.
                raise BadRequest(str(told.get("OriginalMessage", "")).splitlines()[0]) from error
            raise
        return Answer(body=answer["Body"].read(), content_type=answer.get("ContentType", ""))
