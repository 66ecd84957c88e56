"""Where and with which limits a model is served; free of mosec and torch."""

from __future__ import annotations

ROUTE = "/inference"
PORTS = (8080, 8081)  # a new version starts on the one that the running version does not use
REQUEST_TIMEOUT_MS = 30_000
MAX_REQUEST_BYTES = 64 * 1024 * 1024


def mosec_options(address: str, port: int) -> list[str]:
    """Return mosec's part of the server's command line."""
    options = {
        "--address": address,
        "--port": str(port),
        "--timeout": str(REQUEST_TIMEOUT_MS),
        "--max-request-size": str(MAX_REQUEST_BYTES),
        "--log-level": "warning",
    }
    return [part for pair in options.items() for part in pair]
