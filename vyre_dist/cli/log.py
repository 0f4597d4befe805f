"""Log: what a command says on standard error, as lines for people or as JSON objects, one a line.

Messages, problems and errors of one process have one format, which is chosen before anything else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

FORMATS = ("text", "json")
OPTION = "--log-format"
VARIABLE = "VYRE_DIST_LOG_FORMAT"

_WARNING = "warning: "
_json = False


def choose(arguments: Sequence[str]) -> None:
    """Take the format that the arguments name, or else the environment.

    Looks before click does: what click says of wrong arguments has the format, too.
    """
    global _json
    named = os.environ.get(VARIABLE, "")
    for position, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument == OPTION:
            named = "".join(arguments[position + 1 : position + 2])
        elif argument.startswith(f"{OPTION}="):
            named = argument.partition("=")[2]
    _json = named == "json"


def is_json() -> bool:
    """Whether the format is JSON."""
    return _json


def line(message: str, kind: str = "", **facts: object) -> str:
    """The message as a line, without its end and with nothing in it that could steer a terminal.

    `kind`: error or problem; a message that begins with "warning: " is a warning, others are notes.
    `facts`: what the message says, for programs.
    """
    if not _json:
        from vyre_dist.sinks.text import visible

        return f"vyre-dist: {visible(message)}"
    import json

    warning = not kind and message.startswith(_WARNING)
    record = {
        "type": kind or ("warning" if warning else "note"),
        "time": now(),
        "message": message.removeprefix(_WARNING) if warning else message,
        **facts,
    }
    return json.dumps(record, separators=(",", ":"))


def say(message: str, kind: str = "", **facts: object) -> None:
    """Write the message to standard error. Raises OSError."""
    sys.stderr.write(line(message, kind, **facts) + "\n")
    sys.stderr.flush()


def now() -> str:
    """The time, as a log has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
