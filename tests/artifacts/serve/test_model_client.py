from __future__ import annotations

import re
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.numpy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from artifacts.errors import BadRequest
from artifacts.serve.client import SAFETENSORS_TYPE
from artifacts.serve.current import Current, switch_current
from artifacts.serve.model_client import NPY_TYPE, ModelClient, TimedOut, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

Reply = tuple[int, bytes]


class Served(ThreadingHTTPServer):
    """Gives the replies of a script, then doubles raw tensors; notes what was asked."""

    daemon_threads = True

    def __init__(self, replies: list[Reply | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.replies = replies
        self.asked: list[tuple[str, bytes]] = []
        self.connections = 0
        self.hold = threading.Event()

    @property
    def port(self) -> int:
        return self.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Served

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.headers["Content-Type"], body))
        reply = self.server.replies.pop(0) if self.server.replies else (200, _doubled(body))
        if reply is None:  # lost without an answer
            self.close_connection = True
            return
        status, answer = reply
        if answer == b"slow":
            self.server.hold.wait(10)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def _doubled(body: bytes) -> bytes:
    tensors = safetensors.numpy.load(body)
    return bytes(safetensors.numpy.save({f"twice_{name}": each * 2 for name, each in tensors.items()}))


@contextmanager
def served(*replies: Reply | None) -> Iterator[Served]:
    with Served(list(replies)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.hold.set()
            server.shutdown()
            thread.join()


X = np.arange(4, dtype=np.float32).reshape(1, 4)


def test_arrays_go_raw_and_come_back_by_name_on_one_connection() -> None:
    with served() as server, ModelClient.at(server.url) as client:
        for _ in range(3):
            outputs = client.predict({"x": X.T.copy().T})  # columns first
            assert list(outputs) == ["twice_x"]
            assert (outputs["twice_x"] == X * 2).all()
        assert [kind for kind, _ in server.asked] == [SAFETENSORS_TYPE] * 3
        assert server.connections == 1


def test_an_array_goes_as_npy_and_json_as_json() -> None:
    import io

    stream = io.BytesIO()
    np.save(stream, X)
    with served((200, stream.getvalue()), (200, b'{"outputs": {"y": [1]}}')) as server:
        client = ModelClient.at(f"{server.url}/inference")
        assert (client.predict_array(X) == X).all()
        assert server.asked[0] == (NPY_TYPE, stream.getvalue())
        assert client.predict_json({"x": [[1]]}) == {"y": [1]}
        assert server.asked[1] == ("application/json", b'{"inputs": {"x": [[1]]}}')
        client.close()


def test_a_refused_request_names_what_was_expected_and_is_not_repeated() -> None:
    with served((422, b"Input x is float32[1,3]; expected x=float32[1,4].")) as server:
        with ModelClient.at(server.url) as client, pytest.raises(BadRequest, match="expected x=float32"):
            client.predict({"x": X})
        assert len(server.asked) == 1


@pytest.mark.parametrize("trouble", [None, (429, b"busy"), (502, b""), (503, b"going down")])
def test_what_got_no_answer_is_asked_again(trouble: Reply | None) -> None:
    with served(trouble, trouble) as server, ModelClient.at(server.url) as client:
        assert (client.predict({"x": X})["twice_x"] == X * 2).all()
        assert len(server.asked) == 3


def test_a_balancers_certificate_is_checked(tmp_path: Path) -> None:
    own = certificate(tmp_path)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(own)
    with served() as server:
        server.socket = server_side.wrap_socket(server.socket, server_side=True)
        url = server.url.replace("http:", "https:")
        with ModelClient.at(url, trust=ssl.create_default_context(cafile=str(own))) as client:
            assert (client.predict({"x": X})["twice_x"] == X * 2).all()
        with ModelClient.at(url, timeout_s=0.2) as client, pytest.raises(Unavailable, match="CERTIFICATE"):
            client.predict({"x": X})
        assert len(server.asked) == 1


def certificate(folder: Path) -> Path:
    """Return a file with a key and a certificate for this machine, which nobody else vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "models.internal")])
    now = datetime.now(UTC)
    own = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1), [])
    made = made.add_extension(own, critical=False)
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "own.pem").write_bytes(secret + made.sign(key, hashes.SHA256()).public_bytes(pem))
    return folder / "own.pem"


def test_a_failure_of_the_model_is_not_asked_again() -> None:
    with served((500, b"boom")) as server:
        with ModelClient.at(server.url) as client, pytest.raises(Unavailable, match="boom") as caught:
            client.predict({"x": X})
        assert (caught.value.status, len(server.asked)) == (500, 1)


@pytest.mark.parametrize("reply", [(200, b"slow"), (408, b"inference timeout")])
def test_what_timed_out_is_not_asked_again(reply: Reply) -> None:
    with served(reply) as server:
        with ModelClient.at(server.url, timeout_s=0.3) as client, pytest.raises(TimedOut):
            client.predict({"x": X})
        assert len(server.asked) == 1


def test_nobody_there_is_unavailable_once_the_time_is_over() -> None:
    with served() as server:
        url = server.url
    with ModelClient.at(url, timeout_s=0.2) as client, pytest.raises(Unavailable) as caught:
        client.predict({"x": X})
    assert caught.value.status is None


def test_on_a_host_the_client_follows_the_switch(tmp_path: Path) -> None:
    def point(server: Served) -> None:
        current = Current(digest="d" * 64, port=server.port, address="127.0.0.1", workers=1)
        switch_current(tmp_path, current)

    with served() as old, served() as new, ModelClient.on_host(tmp_path) as client:
        point(old)
        client.predict({"x": X})
        point(new)
        client.predict({"x": X})
        assert (len(old.asked), len(new.asked)) == (1, 1)


def test_a_host_that_serves_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="Nothing is served"):
        ModelClient.on_host(tmp_path).predict({"x": X})


@pytest.mark.parametrize("url", ["ftp://host", "host:8080", "http://", "http://host/other"])
def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(BadRequest, match="is not the address of a server"):
        ModelClient.at(url)


def test_answers_that_are_none_are_told(tmp_path: Path) -> None:
    with served((200, b"no data provided"), (200, b"{}"), (200, b"junk")) as server:
        client = ModelClient.at(server.url)
        with pytest.raises(Unavailable, match="not npy"):
            client.predict_array(X)
        with pytest.raises(Unavailable, match="not as expected"):
            client.predict_json({})
        with pytest.raises(Unavailable, match="not safetensors"):
            client.predict({"x": X})
        client.close()


def test_the_client_needs_neither_torch_nor_a_server() -> None:
    code = "import sys, artifacts.serve.model_client; print({'torch', 'mosec', 'boto3'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "set()"


def test_the_example_in_the_documentation_works() -> None:
    page = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?ModelClient.*?)```", page, re.DOTALL)
    with served() as server:
        names: dict[str, object] = {}
        exec(example.replace("http://127.0.0.1:8080", server.url), names)  # noqa: S102 - our own page
        assert len(server.asked) == 1
        assert isinstance(names["outputs"], dict)
