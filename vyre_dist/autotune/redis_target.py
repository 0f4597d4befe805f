"""RedisTarget: where a Redis server is and how to log in; and that it is of no use.

URLs are read in urls.py. Nothing here imports redis, which takes 0.1 s.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vyre_dist.errors import VyreError

DEFAULT_PORT = 6379
NOT_REDIS = "what it answers is not what a Redis server would answer"


class ServerUnavailableError(VyreError):
    """The server at `address` was not asked, did not answer, refused, or answered nonsense; already
    counted.

    The message ends with the reason, the server's own where it gave one.
    """

    def __init__(self, address: str, cause: str) -> None:
        super().__init__(f"the autotune store at {address} is unavailable: {cause}")
        self.address = address


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """One server's address and login. With a `path`, a Unix socket's, there is no host."""

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    db: int = 0
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls_files: tuple[tuple[str, str], ...] = ()

    @property
    def address(self) -> str:
        """The server's address without the login, for messages."""
        if self.path:
            return f"unix://{self.path}"
        return f"redis{'s' * self.tls}://{self.host}:{self.port}/{self.db}"
