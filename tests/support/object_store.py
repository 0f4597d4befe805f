"""A real S3 server of this machine, spoken to over HTTP, behind a gate that fails on purpose.

Behind the gate is moto's server, in a process of its own. It keeps what it has in memory, so a
store that is killed and started again is a gate that is shut, and opened later at the same port.
"""

from __future__ import annotations

import io
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse

BUCKET = "runs"
Fault = Callable[[str, str], str]
"""(method, path of an object) -> what becomes of the request: "" for nothing special, a status of
HTTP, "lost" for done but not answered, "cut" for neither, "slow" for done a while later.
"""
SLOW_SECONDS = 0.2


@contextmanager
def s3_server() -> Iterator[int]:
    """The port of a server that has the bucket."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            assert process.stderr is not None
            port = 0
            for line in process.stderr:
                if (found := re.search(rb"http://127\.0\.0\.1:(\d+)", line)) is not None:
                    port = int(found[1])
                    break
            # nobody reads what else it says, of each request
            threading.Thread(target=lambda: [*process.stderr], daemon=True).start()
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("PUT", f"/{BUCKET}")
            assert connection.getresponse().status == 200
            connection.close()
            yield port
        finally:
            process.kill()


@dataclass
class Gate:
    """Passes requests on to the server at `port`; `url`: where it listens.

    `fault`: asked about each request. `asked`: all of them, as (method, path).
    """

    port: int
    fault: Fault = lambda *_: ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._address = ("127.0.0.1", 0)
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._address[1]}"

    def open(self) -> None:
        """Listen, at the same port as before."""
        self._listener = socket.create_server(self._address)
        self._address = self._listener.getsockname()
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """End at once, as a server that is killed: no connection lives on, and none is taken."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            for each in self._open:
                _reset(each)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(client)
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        server = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            with client, client.makefile("rb") as reader:
                while (request := _read_request(reader, client)) is not None:
                    method, target, headers, body = request
                    path = target.partition("?")[0].removeprefix(f"/{BUCKET}").lstrip("/")
                    self.asked.append((method, path))
                    fate = self.fault(method, path)
                    if fate == "cut":
                        return _reset(client)
                    if fate.isdecimal():
                        client.sendall(
                            f"HTTP/1.1 {fate} Fault\r\nContent-Length: 0\r\n\r\n".encode()
                        )
                        continue
                    if fate == "slow":
                        time.sleep(SLOW_SECONDS)
                    server.request(method, target, body, headers)
                    response = server.getresponse()
                    answer = response.read()
                    if fate == "lost":
                        return _reset(client)
                    client.sendall(_written(method, response, answer))
        except OSError:
            return None
        finally:
            server.close()
            with self._lock:
                self._open.discard(client)


def _reset(client: socket.socket) -> None:
    try:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _read_request(
    reader: io.BufferedReader, client: socket.socket
) -> tuple[str, str, dict[str, str], bytes] | None:
    line = reader.readline().decode("latin-1").split()
    if len(line) < 2:
        return None
    headers: dict[str, str] = {}
    while (header := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        headers[name] = value.strip()
    lowered = {name.lower(): value for name, value in headers.items()}
    if lowered.get("expect", "").lower() == "100-continue":
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        headers = {name: value for name, value in headers.items() if name.lower() != "expect"}
    if "chunked" in lowered.get("transfer-encoding", ""):
        raise OSError("no chunked bodies are expected")
    body = reader.read(int(lowered.get("content-length", "0")))
    return line[0], line[1], headers, body


def _written(method: str, response: HTTPResponse, body: bytes) -> bytes:
    told = [f"HTTP/1.1 {response.status} {response.reason}"]
    skipped = {"content-length", "transfer-encoding", "connection"}
    headers = response.getheaders()
    told += [f"{name}: {value}" for name, value in headers if name.lower() not in skipped]
    length = response.getheader("Content-Length") if method == "HEAD" else str(len(body))
    told.append(f"Content-Length: {length or 0}")
    return ("\r\n".join(told) + "\r\n\r\n").encode("latin-1") + body


def environment_for(url: str) -> dict[str, str]:
    """What a process needs to speak to the server: the usual variables of S3's tools."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
