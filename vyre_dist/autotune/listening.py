"""Whether anybody listens where a server should be: told without redis, which takes long to import.

A scan whose server is stopped is to be as fast as one without a server.
"""

from __future__ import annotations

import socket

from vyre_dist.autotune.redis_target import RedisTarget
from vyre_dist.autotune.reply_times import FIRST_S


def why_not(target: RedisTarget) -> str:
    """Why nobody can be there, in redis-py's words; "" if somebody may be.

    Who does not answer at once may be far away: that is left to redis_link.py.
    """
    try:
        if target.path:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(FIRST_S)
                probe.connect(target.path)
        else:
            socket.create_connection((target.host, target.port), timeout=FIRST_S).close()
    except (ConnectionRefusedError, FileNotFoundError) as error:
        place = f"unix socket: {target.path}" if target.path else f"{target.host}:{target.port}"
        return f"Error {error.errno} connecting to {place}. {error.strerror}."
    except OSError:
        return ""
    return ""
