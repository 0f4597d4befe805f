"""`vyre-dist doctor` on real heads: it tells what keeps a scan from a cluster, and never hangs."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from long_runs import nightly

from vyre_dist.actors import inspection


def cluster_line(head, address: str, token: bool = True) -> dict[str, str]:
    """What doctor says of the cluster at the address."""
    done = head.vyre("doctor", "--json", "--address", address, token=token)
    assert done.returncode == 0, done.stdout + done.stderr
    secret = Path(head.token["RAY_AUTH_TOKEN_PATH"]).read_text()
    assert secret not in done.stdout + done.stderr
    (found,) = [each for each in json.loads(done.stdout)["checks"] if each["name"] == "ray cluster"]
    return found


@pytest.mark.parametrize("which", ["gcs", "client", "http", *nightly("dashboard")])
def test_a_cluster_that_takes_our_token(head, which: str) -> None:
    """By its own address, the one for clients, and the dashboard's with and without a scheme."""
    address = head.http.removeprefix("http://") if which == "dashboard" else getattr(head, which)
    found = cluster_line(head, address)
    assert found["status"] == "ok", found
    assert "takes our token" in found["found"]
    assert ("Ray 2.60" in found["found"]) == (which != "client")


@pytest.mark.parametrize("which", [*nightly("gcs"), "http"])
def test_a_cluster_whose_token_is_missing(head, which: str) -> None:
    """The cure names the variables that give it."""
    found = cluster_line(head, getattr(head, which), token=False)
    assert found["status"] == "failed"
    assert "RAY_AUTH_TOKEN_PATH" in found["cure"]


@pytest.fixture
def other_version() -> Iterator[str]:
    """A job server of another Ray, as far as anybody asks it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"version": "4", "ray_version": "2.9.9"}')

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_another_version_is_told(other_version: str) -> None:
    """Ray refuses drivers of other versions: so that is a fault, with both versions."""
    with pytest.raises(inspection.ClusterFaultError, match=r"Ray 2\.9\.9, this machine") as caught:
        inspection.look_at_cluster(other_version)
    assert "constraints.txt" in caught.value.cure
