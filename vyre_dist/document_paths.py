"""The written form of a document's path, which patterns, fingerprints and outputs share.

`normal_path` drops the meaningless parts of a local path. `written_path` also escapes `!`, which
separates a document from the one that it is inside of (`a.zip!b`). Paths that are opened stay as
they are on disk.
"""

from __future__ import annotations

import re

_LOOSE = re.compile(r"\A\./|/\.?(?=/)|/\.?\Z")
# the same in lines that a newline stands before and behind
_LOOSE_IN_LINES = ("\n./", "//", "/./", "/\n", "/.\n")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(.*)", re.DOTALL)
# `!`, and a `%` that would read as the beginning of an escape
_ESCAPED = re.compile(r"!|%(?=2[15])")
_ESCAPE = re.compile(r"%2([15])")


def normal_path(path: str) -> str:
    """`path` without `./`, `//` and a final `/`. Leading slashes, `..` and URLs stay as they are.

    `a/..` is not `.`: `a` may be a link to somewhere else.
    """
    if _LOOSE.search(path) is None or _URL.match(path):
        return path
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/"):
        return "/" + "/".join(parts)
    return "/".join(parts) or "."


def written_path(path: str) -> str:
    """The written form of a local path: normal, with `!` as `%21`.

    `%21` and `%25` in a name become `%2521` and `%2525`: no two names have the same form. A
    URL (`s3://bucket/key`) stays as it is.
    """
    if needs_escape(path) and not _URL.match(path):
        path = _ESCAPED.sub(lambda found: "%21" if found[0] == "!" else "%25", path)
    return normal_path(path)


def written_paths(paths: list[str]) -> list[str]:
    """`written_path` of each: a look at all of them together, as nearly all are written so."""
    text = "\n".join(["", *paths, ""])
    if needs_escape(text) or any(loose in text for loose in _LOOSE_IN_LINES):
        return [written_path(path) for path in paths]
    return paths


def split_url(path: str) -> tuple[str, str]:
    """(scheme with its `://`, the rest) of a URL; "" and the whole of a local path."""
    found = _URL.match(path)
    return ("", path) if found is None else (found[1], found[2])


def needs_escape(text: str) -> bool:
    """Whether the written form of a part of a path differs from its name on disk."""
    return "!" in text or ("%2" in text and _ESCAPED.search(text) is not None)


def path_on_disk(written: str) -> str:
    """The inverse of `written_path` for a normal path that has no `!` in it."""
    if _URL.match(written):
        return written
    return _ESCAPE.sub(lambda found: "!" if found[1] == "1" else "%", written)
