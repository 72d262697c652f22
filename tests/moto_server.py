"""A server of this process that speaks AWS's protocols."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def moto_server(monkeypatch: pytest.MonkeyPatch, region: str = "eu-west-2") -> Iterator[None]:
    """All clients go to it within the block, those of subprocesses too. It begins empty."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    try:
        yield
    finally:
        reset = HTTPConnection(host, port)  # all servers of a process share what they hold
        reset.request("POST", "/moto-api/reset")
        reset.getresponse().read()
        reset.close()
        server.stop()
