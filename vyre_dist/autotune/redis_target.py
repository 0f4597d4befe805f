"""RedisTarget: where a Redis server is and how to log in. URLs are read in urls.py."""

from __future__ import annotations

from dataclasses import dataclass, field

DEFAULT_PORT = 6379


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
