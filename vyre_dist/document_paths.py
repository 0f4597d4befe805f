"""How the path of a document is written: the one form that patterns, fingerprints and outputs
share.

`normal_path` removes what says nothing of a local path; `written_path` also keeps `!` for what
comes after it (a document inside of another one, `a.zip!b`). Paths on disk stay as they are: what
is opened is not what is written.
"""

from __future__ import annotations

import re

_LOOSE = re.compile(r"\A\./|/\.?(?=/)|/\.?\Z")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(.*)", re.DOTALL)
# `!`, and a `%` that would read as the beginning of an escape
_ESCAPED = re.compile(r"!|%(?=2[15])")
_ESCAPE = re.compile(r"%2([15])")


def normal_path(path: str) -> str:
    """`path` without `./`, `//` and a final `/`; `..`, an absolute path's beginning, and URLs stay
    as they are.

    `a/..` is not `.`: `a` may be a link to somewhere else.
    """
    if _LOOSE.search(path) is None or _URL.match(path):
        return path
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/"):
        return "/" + "/".join(parts)
    return "/".join(parts) or "."


def written_path(path: str) -> str:
    """A local path as it is written: normal, `!` as `%21`, and `%21` and `%25` in a name as `%2521`
    and `%2525`.

    So no two names are written alike. A URL (`s3://bucket/key`) stays as it is.
    """
    if needs_escape(path) and not _URL.match(path):
        path = _ESCAPED.sub(lambda found: "%21" if found[0] == "!" else "%25", path)
    return normal_path(path)


def split_url(path: str) -> tuple[str, str]:
    """(scheme with its `://`, the rest) of a URL; "" and the whole of a local path."""
    found = _URL.match(path)
    return ("", path) if found is None else (found[1], found[2])


def needs_escape(text: str) -> bool:
    """Whether a part of a path is written otherwise than it is called on disk."""
    return "!" in text or ("%2" in text and _ESCAPED.search(text) is not None)


def path_on_disk(written: str) -> str:
    """The inverse of `written_path` for a normal path that has no `!` in it."""
    if _URL.match(written):
        return written
    return _ESCAPE.sub(lambda found: "!" if found[1] == "1" else "%", written)
