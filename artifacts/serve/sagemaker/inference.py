"""The entry of a model package: the four functions that AWS's PyTorch and Neuron containers call.

It lies in the package as `code/inference.py`, with `code/` on the module path, beside the part of
`artifacts` it needs. The contract: https://github.com/aws/sagemaker-pytorch-inference-toolkit#readme.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sagemaker_inference.errors import BaseInferenceToolkitError

from artifacts.errors import AmazoneiError, BadRequest
from artifacts.serve.sagemaker import container

if TYPE_CHECKING:
    from artifacts.serve.handler import Handler
    from artifacts.serve.sagemaker.container import Body, Prediction


def model_fn(model_dir: str) -> Handler:
    """Verify, open and try the model; whatever is wrong is said in the container's log."""
    try:
        return container.open_model(Path(model_dir), os.environ)
    except AmazoneiError as error:
        # The toolkit logs the exception alone, and a hint is half of our message.
        raise RuntimeError(f"{error.message} {error.hint}".strip()) from error


def input_fn(data: str | bytes, content_type: str | None) -> Body:
    """Take a body of a known content type."""
    with _client_errors(415):
        return container.read_body(data, content_type)


def predict_fn(body: Body, model: Handler) -> Prediction:
    """Decode the body by the model's own specs, and answer it."""
    with _client_errors(400):
        return container.predict(body, model)


def output_fn(prediction: Prediction, accept: str) -> tuple[bytes, str]:
    """Encode the answer in the first accepted content type there is."""
    with _client_errors(406):
        return container.encode(prediction, accept)


class _client_errors:  # noqa: N801 - used as a statement
    """Turn a refused request into the toolkit's own error, which keeps the status code."""

    def __init__(self, status: int) -> None:
        self._status = status

    def __enter__(self) -> None:
        """Nothing is prepared."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, BadRequest):
            raise BaseInferenceToolkitError(self._status, error.message, error.message) from error
