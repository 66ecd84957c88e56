"""An inference container without the container: AWS's own handler code, behind /ping and /invocations.

Run as a script by the emulator, with a module path that holds the package's `code/` and nothing of this
repository: what answers is what was shipped. TorchServe, the Java server of the real image, is replaced by
Python's HTTP server; the handler service it would call is AWS's
(https://github.com/aws/sagemaker-pytorch-inference-toolkit), unchanged.
"""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from sagemaker_inference.environment import model_dir
from sagemaker_pytorch_serving_container.handler_service import HandlerService

_TOO_LARGE = (
    6 * 1024 * 1024
)  # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html


class Context:
    """What TorchServe tells a handler of a request, and hears of its answer."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.system_properties = {"model_dir": model_dir}
        self.model_name = "model"
        self.request_processor = [self]
        self.status, self.content_type = 200, "application/json"
        self._headers = headers

    def get_request_properties(self) -> dict[str, str]:
        """Return the headers of the request."""
        return self._headers

    def set_response_content_type(self, _index: int, content_type: str) -> None:
        """Keep the content type of the answer."""
        self.content_type = content_type

    def set_response_status(self, *, code: int, phrase: str = "") -> None:  # noqa: ARG002 - the toolkit's call
        """Keep the status of the answer; the phrase is in the body as well."""
        self.status = code


class Door(BaseHTTPRequestHandler):
    """The two routes that SageMaker asks a container for."""

    service: HandlerService
    lock = Lock()  # one worker process answers one request at a time

    def do_GET(self) -> None:
        """Answer the health check: the model was loaded before this server listened."""
        self._answer(200 if self.path == "/ping" else 404, b"", "text/plain")

    def do_POST(self) -> None:
        """Hand a request to AWS's handler."""
        length = int(self.headers.get("Content-Length", 0))
        if self.path != "/invocations" or length > _TOO_LARGE:
            self._answer(404 if self.path != "/invocations" else 413, b"", "text/plain")
            return
        context = Context(dict(self.headers.items()))
        with self.lock:
            answer = self.service.handle([{"body": self.rfile.read(length)}], context)[0]
        body = answer if isinstance(answer, bytes) else str(answer).encode()
        self._answer(context.status, body, context.content_type)

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base's name
        """Write the access log where the container's log is."""
        print(format % arguments, flush=True)  # noqa: T201


def main() -> None:
    """Load the model, then serve; a model that does not load ends the process with its traceback."""
    service = HandlerService()
    service.initialize(Context({}))
    Door.service = service
    server = ThreadingHTTPServer((os.environ["AMAZONEI_ADDRESS"], 0), Door)
    port = Path(os.environ["AMAZONEI_PORT_FILE"])
    partial = port.with_suffix(".partial")
    partial.write_text(json.dumps(server.server_address[1]), encoding="ascii")
    partial.replace(port)
    server.serve_forever()


if __name__ == "__main__":
    main()
