"""A process that answers with what it is told: in a module of its own, for a new interpreter."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection


def echo(connection: Connection, load: bytes) -> None:
    """Say the load and who this is, then answer until the other end is closed."""
    connection.send_bytes(load + b" %d" % os.getpid())
    try:
        while True:
            connection.send_bytes(connection.recv_bytes())
    except EOFError:
        os._exit(5)
