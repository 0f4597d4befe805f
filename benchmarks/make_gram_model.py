"""Make the compiler's 4-gram model from trees of real text, and say how good it is.

    python benchmarks/make_gram_model.py OUTPUT TREE[=WEIGHT] [TREE[=WEIGHT] ...] [--sample-mb 40]

The shipped vyre_dist/compiler/data/grams.bin was made from Python's standard library (weight 2),
Debian's linux-source-6.1 (2), the Python packages of a development environment (1) and /usr/share
(1). Of each tree a fixed pseudo-random sample of whole files is counted, so the same trees give the
same bytes.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from corpus import shuffled_paths

from vyre_dist.compiler.gram_model import GramModel, encode_grams

LARGEST_FILE = 2 << 20


def sample(tree: str, megabytes: int) -> bytes:
    """Whole files of `tree` in a fixed random order, with NULs between them, until `megabytes` are
    full.
    """
    parts: list[bytes] = []
    size = 0
    for path in shuffled_paths(tree, 2024):
        if size >= megabytes << 20:
            break
        data = Path(path).read_bytes() if os.path.getsize(path) <= LARGEST_FILE else b""
        if not data or b"\0" in data[:4096]:
            continue  # what is not text would only spread the model thin
        parts += (data, b"\0" * 4)
        size += len(data)
    return b"".join(parts)


def count(
    data: bytes,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(distinct folded 4-grams as little-endian integers, their shares, shares of the single
    bytes).
    """
    text = np.frombuffer(data, np.uint8)
    folded = (text | 0x20).astype(np.uint32)
    grams = folded[:-3] | folded[1:-2] << 8 | folded[2:-1] << 16 | folded[3:] << 24
    grams.sort()
    edges = np.flatnonzero(np.concatenate(([True], grams[1:] != grams[:-1])))
    counts = np.diff(np.append(edges, grams.size))
    return (
        grams[edges].astype(np.uint32),
        counts / grams.size,
        np.bincount(text, minlength=256) / text.size,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("output")
    parser.add_argument("trees", nargs="+")
    parser.add_argument("--sample-mb", type=int, default=40)
    args = parser.parse_args()

    weighted = [(tree.partition("=")[0], float(tree.partition("=")[2] or 1)) for tree in args.trees]
    total = sum(weight for _, weight in weighted)
    keys: list[npt.NDArray[np.uint32]] = []
    shares: list[npt.NDArray[np.float64]] = []
    single = np.zeros(256)
    for tree, weight in weighted:
        data = sample(tree, args.sample_mb)
        grams, tree_rates, byte_shares = count(data)
        print(f"{tree}: {len(data)} bytes, {grams.size} distinct 4-grams, weight {weight:g}")
        keys.append(grams)
        shares.append(tree_rates * weight / total)
        single += byte_shares * weight / total
    merged, where = np.unique(np.concatenate(keys), return_inverse=True)
    rates: npt.NDArray[np.float64] = np.bincount(where, np.concatenate(shares)).astype(np.float64)

    blob = encode_grams(merged, rates, single)
    Path(args.output).write_bytes(blob)
    model = GramModel.from_bytes(blob)
    heavy = np.sort(rates)[::-1]
    for top in (4_000, 16_000, 64_000, 90_000, 128_000):
        print(f"the {top} commonest of {rates.size} hold {heavy[:top].sum():.4f} of the mass")
    chosen = np.random.default_rng(1).choice(merged.size, 200_000, p=rates / rates.sum())
    guess = model.rates(merged[chosen])
    error = np.abs(np.log2(guess / rates[chosen]))
    print(
        f"of occurring grams, half are within {np.median(error):.3f} and 99 % within "
        f"{np.quantile(error, 0.99):.2f} octaves of their rate"
    )
    noise = model.rates(
        np.random.default_rng(2).integers(0, 1 << 32, 200_000, np.uint32) | np.uint32(0x20202020)
    )
    print(f"a random gram is taken for {noise.mean():.2e}")
    print(f"{len(blob)} bytes in {args.output}")


if __name__ == "__main__":
    main()
