"""Where an output goes. The command's help needs it: nothing but typing is imported."""

from __future__ import annotations

from typing import NamedTuple

STDOUT = "-"
"""Standard output, where a file is named."""

DEFAULT_FORMAT = "human"


class Destination(NamedTuple):
    """A format, by its name, and the file that it goes to."""

    format: str = DEFAULT_FORMAT
    file: str = STDOUT
