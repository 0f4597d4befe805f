"""What the benchmarks scan: whole files of a tree, drawn in a fixed random order."""

from __future__ import annotations

import hashlib
import itertools
import lzma
import os
from pathlib import Path

import msgpack


def shuffled_paths(tree: str, seed: int) -> list[str]:
    """The regular files of `tree`, links left out, in an order that depends on `seed` and their
    names in the tree.

    Each file's place comes from its own name, so that a tree's next point release gives nearly the
    same sample.
    """
    paths = (
        path
        for folder, _, names in os.walk(tree)
        for name in names
        if os.path.isfile(path := os.path.join(folder, name)) and not os.path.islink(path)
    )

    def place(path: str) -> bytes:
        return hashlib.sha256(
            str(seed).encode() + b"/" + os.fsencode(os.path.relpath(path, tree))
        ).digest()

    return sorted(paths, key=place)


def sampled_files(tree: str, megabytes: float) -> list[tuple[str, bytes]]:
    """(path in the tree, content) of regular files of `tree`, until there are `megabytes` of
    them.
    """
    files: list[tuple[str, bytes]] = []
    size = 0.0
    for path in shuffled_paths(tree, 7):
        if size >= megabytes * 1e6:
            break
        files.append((os.path.relpath(path, tree), Path(path).read_bytes()))
        size += len(files[-1][1])
    return files


def write_sample(tree: str, file: str, megabytes: float) -> None:
    """Whole files of `tree` in a fixed order, `megabytes` of them, with their sizes in front."""
    documents = sampled_files(tree, megabytes)
    head = msgpack.packb([(path, len(text)) for path, text in documents])
    body = len(head).to_bytes(8, "little") + head + b"".join(text for _, text in documents)
    Path(file).write_bytes(lzma.compress(body, preset=3))
    print(f"{len(documents)} files, {sum(len(text) for _, text in documents)} bytes")


def read_sample(file: str) -> tuple[list[str], list[bytes]]:
    """(paths, documents) that write_sample wrote."""
    raw = lzma.decompress(Path(file).read_bytes())
    size = int.from_bytes(raw[:8], "little")
    listed = msgpack.unpackb(raw[8 : 8 + size])
    ends = itertools.accumulate((count for _, count in listed), initial=8 + size)
    return [path for path, _ in listed], [raw[low:high] for low, high in itertools.pairwise(ends)]
