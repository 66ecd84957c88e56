"""The emulator's server: moto behind the access gate, on the loopback, with the strict layer installed."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import string
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from moto import settings
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from artifacts.errors import BadRequest
from provisioning.emulator import datacenter, processes, strict
from provisioning.emulator.command_output import upload
from provisioning.emulator.correction import install_all
from provisioning.emulator.corrections.target_health import registered
from provisioning.emulator.gate import AccessGate, credential_of
from provisioning.emulator.host import Site
from provisioning.emulator.hosting import Hosting
from provisioning.emulator.hypervisor import Hypervisor
from provisioning.emulator.protocols import error_document, protocol_of
from provisioning.emulator.run_command import RunCommand
from provisioning.emulator.schedules import ScheduleClock, shifted_now
from provisioning.emulator.state import Running, StateDirectory

if TYPE_CHECKING:
    from moto.backends import SERVICE_NAMES
    from werkzeug.serving import BaseWSGIServer

_LOOPBACK = "127.0.0.1"
_KEY_ALPHABET = string.ascii_uppercase + "234567"


def serve(state: StateDirectory, port: int, *, registration_delay_s: float) -> None:
    """Serve until SIGTERM or SIGINT, then end every host; raises `BadRequest` when the port is taken."""
    state.prepare()
    os.chdir(state.path)
    install_all(strict.corrections())
    with _listen(port) as listener:
        running = _identity(state, listener.getsockname()[1])
        center = _data_center(running, registration_delay_s)
        datacenter.open_for_business(center)
        server = _server(listener, running)
        _stop_on_signals(server)
        state.write(running)
        clock = ScheduleClock(now=shifted_now(state))
        clock.start()
        center.balancing.start(registered)
        server.serve_forever()
        clock.end()
        center.balancing.end()
        center.hosting.shut_down()
        center.hypervisor.shut_down()
        state.forget()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((_LOOPBACK, port), backlog=128)
    except OSError as error:
        raise BadRequest(
            f"Port {port} cannot be had: {error.strerror}.", "Choose another, or 0 for a free one."
        ) from error


def _identity(state: StateDirectory, port: int) -> Running:
    process = processes.current()
    return Running(
        # moto's CloudFormation looks for the word "localhost" in template URLs.
        endpoint_url=f"http://localhost:{port}",
        pid=process.pid,
        started=process.started,
        port=port,
        log=state.log,
        access_key="AKIA" + "".join(secrets.choice(_KEY_ALPHABET) for _ in range(16)),
        secret_key=secrets.token_urlsafe(30),
        state_dir=state.path,
    )


def _data_center(running: Running, registration_delay_s: float) -> datacenter.DataCenter:
    site = Site(
        hosts=StateDirectory(running.state_dir).hosts,
        endpoint_url=running.endpoint_url,
        access_key=running.access_key,
        secret_key=running.secret_key,
        interpreter=Path(sys.executable),
        registration_delay_s=registration_delay_s,
    )
    return datacenter.DataCenter(Hypervisor(site, running.port), RunCommand(upload), Hosting(site))


def _server(listener: socket.socket, running: Running) -> BaseWSGIServer:
    # No web page has business here; the gate refuses them, and nothing invites them either.
    settings.DISABLE_GLOBAL_CORS = True
    application = AccessGate(DomainDispatcherApplication(_backend), running.access_key)
    return make_server(
        _LOOPBACK,
        running.port,
        application,
        threaded=True,
        request_handler=MotoRequestHandler,
        fd=listener.fileno(),
    )


def _backend(service: SERVICE_NAMES) -> Flask:
    """Return moto's application of a service, which says so when it cannot do something."""
    application = create_backend_app(service)
    application.register_error_handler(NotImplementedError, _not_implemented)
    return application


def _not_implemented(error: Exception) -> Response:
    # moto's own answer is a 500 in HTML, which SDKs take for a passing failure and try again.
    protocol = protocol_of(request.environ, credential_of(request.environ)[1])
    content_type, body = error_document(protocol, "NotImplemented", f"The emulator cannot do this: {error}")
    return Response(body, status=501, content_type=content_type)


def _stop_on_signals(server: BaseWSGIServer) -> None:
    def stop(*_: object) -> None:
        # shutdown() waits for the loop that this handler interrupts, so another thread must call it.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
