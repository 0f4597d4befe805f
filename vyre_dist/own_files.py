"""How the names end of what this process makes for itself while it scans: half-written outputs, copies of standard input.

A walk that meets them leaves them out.
"""

from __future__ import annotations

import os

SUFFIX = f".{os.urandom(6).hex()}.part"
"""Of this process: no other file's name ends like this."""
