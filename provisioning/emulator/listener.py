"""A listener of an emulated load balancer: TLS on one side, one host for each request on the other."""

from __future__ import annotations

import http.client
import ssl
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from provisioning.emulator.balancing import TargetGroup

# https://www.rfc-editor.org/rfc/rfc9110#name-connection: of one connection only.
HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
                        "upgrade"})  # fmt: skip


def tls(certificate: bytes, key: bytes) -> ssl.SSLContext:
    """Return the server side of TLS with a certificate and its key, both in PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory(prefix="amazonei-tls-") as folder:  # it reads files only
        both = Path(folder, "both.pem")
        both.touch(mode=0o600)
        both.write_bytes(certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(both)
    return context


def serve(
    listening: socket.socket, group: TargetGroup, timeout_s: float, context: ssl.SSLContext | None
) -> Callable[[], None]:
    """Serve in threads of their own; returns what ends it."""

    class Handler(_Relay):
        targets = group
        idle_s = timeout_s

    server = _Server(listening, Handler, context)
    threading.Thread(target=server.serve_forever, name="balancer", daemon=True).start()
    return server.shutdown


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, listening: socket.socket, handler: type[_Relay], context: ssl.SSLContext | None
    ) -> None:
        super().__init__(listening.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self._context = context

    def get_request(self) -> tuple[Any, Any]:
        connection, address = self.socket.accept()
        if self._context is None:
            return connection, address
        # The handshake comes with the first read, in the connection's own thread.
        wrapped = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return wrapped, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients come and go; nobody has to know."""


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    targets: TargetGroup
    idle_s: float

    def do_GET(self) -> None:
        self._relay()

    def do_HEAD(self) -> None:
        self._relay()

    def do_POST(self) -> None:
        self._relay()

    def _relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.targets.chosen() as target:
            if target is None:
                self._answer(503, [], b"")  # no host is registered
                return
            connection = http.client.HTTPConnection(
                target.address, self.targets.check.port, timeout=self.idle_s
            )
            try:
                connection.request(self.command, self.path, body or None, self._passed_on())
                response = connection.getresponse()
                answer = response.read()
            except TimeoutError:
                self._answer(504, [], b"")
            except (OSError, http.client.HTTPException):
                self._answer(502, [], b"")  # it broke the connection off, or let nobody in
            else:
                self._answer(response.status, response.getheaders(), answer)
            finally:
                connection.close()

    def _passed_on(self) -> dict[str, str]:
        kept = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        return kept | {"X-Forwarded-For": self.client_address[0], "X-Forwarded-Proto": "https"}

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """The hosts have logs of their own."""
