"""Reaching a job server: addresses in all forms, and answers that are wrong for a moment only. The
server is a real head's, with a proxy before it where it is to fail.
"""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import requests
from long_runs import nightly
from ray_head import Head, free_ports

from vyre_dist.actors import job_server
from vyre_dist.actors.job_server import JobServerError, _url
from vyre_dist.actors.jobs import submit_scan

CLEAN, USAGE = 0, 2

NO_AGENT = "No available agent to submit job, please try again later."


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:8265", "http://127.0.0.1:8265"),
        ("head.example:80", "http://head.example:80"),
        ("head.example", "http://head.example:8265"),
        ("[::1]:8265", "http://[::1]:8265"),
        ("[::1]", "http://[::1]:8265"),
        ("http://head.example/", "http://head.example"),
        ("https://head.example/ray", "https://head.example/ray"),
        ("auto", "auto"),
    ],
)
def test_an_address_needs_no_scheme(address: str, url: str) -> None:
    """HOST:PORT is HTTP, HOST alone has the dashboard's port; what has a scheme keeps it."""
    assert _url(address) == url


@pytest.mark.parametrize("way", ["argument", *nightly("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")])
def test_submit_takes_host_and_port(head: Head, way: str) -> None:
    """The dashboard's address without http:// will do, wherever it is given."""
    address = head.http.removeprefix("http://")
    given = ["--address", address] if way == "argument" else []
    done = head.vyre(
        "submit", *given, "--no-wait", "--", "--version", **({} if given else {way: address})
    )
    assert (done.returncode, done.stdout[:10]) == (CLEAN, "raysubmit_"), done.stderr


@pytest.mark.parametrize("form", ["{}", *nightly("http://{}")])
def test_a_port_where_nobody_listens_is_told_at_once(head: Head, form: str) -> None:
    """In either form: bad usage, with the address and what to give in its place."""
    (port,) = free_ports(1)
    began = time.monotonic()
    done = head.vyre("submit", "--address", form.format(f"127.0.0.1:{port}"), "--", "--version")
    assert done.returncode == USAGE
    assert port in done.stderr and "dashboard" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("form", ["{}", *nightly("http://{}")])
def test_what_is_no_job_server_is_bad_usage_at_once(head: Head, form: str) -> None:
    """Somebody who speaks another language than HTTP, or a head's, is no bug of ours; Ray would try
    for 40 s.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(b"220 mail.example ESMTP\r\n")
                    connection.close()

        threading.Thread(target=talk, daemon=True).start()
        address = form.format(f"127.0.0.1:{server.getsockname()[1]}")
        began = time.monotonic()
        done = head.vyre("submit", "--address", address, "--", "--version")
        server.shutdown(socket.SHUT_RDWR)
    assert done.returncode == USAGE
    assert "dashboard" in done.stderr and len(done.stderr.splitlines()) == 1
    assert time.monotonic() - began < 25


class Proxy(http.server.BaseHTTPRequestHandler):
    """Passes requests on to `target`, but for the first `failures` of a method: `before` they get
    there, or after.
    """

    target: ClassVar[str]
    failures: ClassVar[dict[str, int]]
    status: ClassVar[int]
    before: ClassVar[bool]

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fails = self.failures.get(self.command, 0) > 0
        if fails:
            self.failures[self.command] -= 1
        if fails and self.before:
            self._answer(self.status, NO_AGENT.encode())
            return
        headers = {
            k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length")
        }
        answer = requests.request(
            self.command, self.target + self.path, data=body, headers=headers, timeout=30
        )
        code, said = answer.status_code, answer.content
        self._answer(*((self.status, b"broken") if fails else (code, said)))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = _pass_on  # noqa: N815 (names of the base class)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def proxy(head: Head, failures: dict[str, int], status: int, before: bool = True) -> Iterator[str]:
    """The address of one that fails so."""
    members = {"target": head.http, "failures": failures, "status": status, "before": before}
    handler = type("Handler", (Proxy,), members)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("status", [500, *nightly(502, 503, 504)])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_passing_is_tried_again(head: Head, method: str, status: int) -> None:
    """A cluster that comes up answers so for a moment; the job is taken then, and somebody is told
    of the wait.
    """
    failures = {method: 3}
    with proxy(head, failures, status) as address:
        done = head.vyre("submit", "--address", address, "--no-wait", "--", "--version")
    assert failures == {method: 0}
    assert (done.returncode, done.stdout[:10]) == (CLEAN, "raysubmit_"), done.stderr
    assert "trying again" in done.stderr


def test_a_job_is_submitted_once_however_often_it_takes(head: Head) -> None:
    """The answer to a job that was taken is lost: the next attempt finds it there."""
    known = jobs(head)
    with proxy(head, {"POST": 1}, 502, before=False) as address:
        done = head.vyre("submit", "--address", address, "--no-wait", "--", "--version")
    assert done.returncode == CLEAN, done.stderr
    assert jobs(head) - known == {done.stdout.strip()}


def jobs(head: Head) -> set[str]:
    return {job["submission_id"] for job in head.ask("GET", "/api/jobs/").json()}


def test_patience_ends(head: Head, monkeypatch) -> None:
    """What does not pass is bad usage after a while, with the server's own words."""
    monkeypatch.setattr(job_server, "PATIENCE_SECONDS", 1.0)
    for name, value in head.token.items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    with proxy(head, {"POST": 1000}, 500) as address, pytest.raises(JobServerError, match=NO_AGENT):
        submit_scan(address, ["--version"], follow=False, warn=said.append)
    assert len(said) == 1


def test_what_is_final_is_not_tried_again(head: Head) -> None:
    """A refusal for good (HTTP 400) is told at once."""
    failures = {"POST": 5}
    with proxy(head, failures, 400) as address:
        done = head.vyre("submit", "--address", address, "--no-wait", "--", "--version")
    assert (done.returncode, failures) == (USAGE, {"POST": 4})
    assert "trying again" not in done.stderr
