"""What dense matches cost: texts full of them against benign text of the same size.

    python benchmarks/dense_matches.py [--rules PACK ...] [--megabytes 12] [--rounds 3]
    [--only NAME] [--tree TREE] [--record]

The texts are made from a fixed seed, as files of 1 MB: lines that a loose rule matches and its
filters drop, the same as one long line of JSON, Terraform's and .env files, two lock files,
Kubernetes manifests with secrets, PEM blocks, lines of JSON web tokens, and addresses that a rule
of its own reports. Each is scanned by `vyre-dist scan` with findings in a file, in turns; the start
(a scan of one line of each) is subtracted. Benign text is larger, so that its time can be told, and
scaled. Printed are milliseconds a megabyte, by the clock and of the processors, both ratios to
benign text, and findings, with the processors' time for each: of texts with findings that is what
tells, since each has to be written. The last line has the largest ratio of texts without. On a
machine that does other work, too, only those of the processors can be told. --tree: another
checkout of the project, to compare with: its findings' hashes, which are recorded, have to be the
same. With --record a line for each pack goes to benchmarks/results/dense_matches.jsonl.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from results_file import append, run_facts

HERE = Path(__file__).resolve().parent
FILE_BYTES = 1 << 20
BENIGN_FILES = 192
# of texts that take little time, so many times as many files
TIMES = {"services": 8, "json": 8, "terraform": 4, "npm": 8, "cargo": 8}
ADDRESSES = """[[rules]]
id = "address"
regex = '''[a-z0-9.]{1,64}@[a-z0-9.]{1,64}\\.[a-z]{2,6}'''
keywords = ["@"]
"""


def _base64(rng: random.Random, size: int) -> str:
    return base64.b64encode(rng.randbytes(size)).decode()


def _url_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _word(rng: random.Random) -> str:
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=8))


def _hex(rng: random.Random, size: int) -> str:
    return rng.randbytes(size).hex()


def services(form: str, begin: Sequence[str] = ()) -> Callable[[random.Random], Iterator[str]]:
    """Settings that look like keys, and whose values are none: each as `form` says."""

    def made(_rng: random.Random) -> Iterator[str]:
        yield from begin
        yield from map(form.format, itertools.count(1000))

    return made


def terraform(rng: random.Random) -> Iterator[str]:
    """Resources that name keys and passwords, which are elsewhere."""
    for n in itertools.count():
        yield (
            f'resource "aws_instance" "{_word(rng)}" {{\n  ami           = "ami-{_hex(rng, 8)}"\n'
            f'  instance_type = "t3.micro"\n  key_name      = "{_word(rng)}"\n  tags = {{\n'
            f'    Name = "{_word(rng)}-{n}"\n  }}\n  password = var.password_{n}\n}}\n'
        )


def env_files(rng: random.Random) -> Iterator[str]:
    """Settings, and keys among them."""
    for n in itertools.count():
        yield (
            f"APP_{_word(rng).upper()}={_word(rng)}\nDB_PASSWORD_{n}={_word(rng)}{_word(rng)}\n"
            f"API_KEY={_hex(rng, 16)}\nLOG_LEVEL=debug\n"
        )


def npm_lock(rng: random.Random) -> Iterator[str]:
    """What package-lock.json says of packages."""
    for n in itertools.count():
        name, version = _word(rng), f"{n % 20}.{n % 7}.1"
        yield (
            f'    "node_modules/{name}": {{\n      "version": "{version}",\n'
            f'      "resolved": "https://packages.example/{name}/-/{name}-{version}.tgz",\n'
            f'      "integrity": "sha512-{_base64(rng, 64)}",\n      "dev": true\n    }},\n'
        )


def cargo_lock(rng: random.Random) -> Iterator[str]:
    """What Cargo.lock says of packages."""
    for n in itertools.count():
        yield (
            f'[[package]]\nname = "{_word(rng)}"\nversion = "0.{n % 30}.{n % 7}"\n'
            f'source = "registry+https://index.example"\nchecksum = "{_hex(rng, 32)}"\n\n'
        )


def manifests(rng: random.Random) -> Iterator[str]:
    """Kubernetes' secrets."""
    for n in itertools.count():
        yield (
            f"---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: app-{n}\ntype: Opaque\ndata:\n"
            f"  username: {_base64(rng, 12)}\n  password: {_base64(rng, 18)}\n"
        )


def pem_blocks(rng: random.Random) -> Iterator[str]:
    """Private keys."""
    while True:
        text = _base64(rng, 600)
        body = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
        yield f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n"


def web_tokens(rng: random.Random) -> Iterator[str]:
    """JSON web tokens."""
    head = _url_base64(b'{"alg":"HS256","typ":"JWT"}')
    for n in itertools.count():
        claims = json.dumps({"sub": str(n), "name": "Jo Doe", "iat": 1516239022 + n}).encode()
        yield f"{head}.{_url_base64(claims)}.{_url_base64(rng.randbytes(32))}\n"


def addresses(rng: random.Random) -> Iterator[str]:
    """Rows of a table with an address in each."""
    for n in itertools.count():
        name = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=8))
        yield f"{n},{name}{n % 1000}@example{n % 97}.com,{rng.randint(1, 10**6)}\n"


def prose(rng: random.Random) -> Iterator[str]:
    """Words and identifiers of which no rule has a match, keywords here and there among them."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(3000)]
    words += [f"{a}_{b}" for a, b in zip(words[:500], words[500:1000], strict=True)]
    words += ["keyboard", "tokens", "passwords", "secretary", "authors", "access"]
    while True:
        yield " ".join(rng.choices(words, k=10)) + rng.choice([";\n", ".\n", "\n"])


TEXTS: dict[str, tuple[Callable[[random.Random], Iterator[str]], str]] = {
    "benign": (prose, "txt"),
    "services": (services("SERVICE_{0}_KEY=value_{0}\n"), "txt"),
    # an object of JSON, all in one line
    "json": (services('"service_{0}_key":"value_{0}",', "{"), "json"),
    "terraform": (terraform, "tf"),
    "npm": (npm_lock, "txt"),
    "cargo": (cargo_lock, "txt"),
    "env": (env_files, "env"),
    "manifests": (manifests, "yaml"),
    "pem": (pem_blocks, "txt"),
    "jwt": (web_tokens, "txt"),
    "addresses": (addresses, "csv"),
}


def write_texts(folder: Path, megabytes: int) -> None:
    """A folder for each text, and one with a line of each."""
    (folder / "start").mkdir()
    for name, (made, ending) in TEXTS.items():
        pieces = made(random.Random(15))
        (folder / name).mkdir()
        (folder / "start" / f"{name}.{ending}").write_text(next(pieces))
        distinct = 16 if name == "benign" else megabytes * TIMES.get(name, 1)
        for number in range(distinct):
            size, own = 0, []
            while size < FILE_BYTES:
                own.append(next(pieces))
                size += len(own[-1])
            (folder / name / f"f{number}.{ending}").write_text("".join(own))
        if name == "benign":
            for number in range(distinct, BENIGN_FILES):
                source = folder / name / f"f{number % distinct}.{ending}"
                os.link(source, folder / name / f"f{number}.{ending}")


class Scan(NamedTuple):
    """A scan's seconds, by the clock and of the processors, and its findings."""

    wall: float
    busy: float
    findings: int
    digest: str


def scan(tree: Path, target: str, rules: str, out: Path, workers: int) -> Scan:
    """Scan the folder `target` beside `out` with the checkout `tree`, as a user types it."""
    command = [sys.executable, "-P", "-m", "vyre_dist", "scan", target, "--rules", rules]
    command += ["-j", str(workers), "--pool", "local", "--progress", "never", "-f", f"jsonl={out}"]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    out.unlink(missing_ok=True)
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=out.parent
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    *lines, summary = out.read_bytes().splitlines()
    digest = hashlib.sha256(b"\n".join(lines)).hexdigest()[:16]
    return Scan(wall, busy, json.loads(summary)["findings"], digest)


def main() -> int:
    """Measure, print a table, append the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", nargs="+", default=["builtin"])
    parser.add_argument("--megabytes", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[n for n in TEXTS if n != "benign"])
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tree", type=Path, default=HERE.parent)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    only = args.only or [name for name in TEXTS if name != "benign"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_texts(folder, args.megabytes)
        sizes = {
            text: sum(path.stat().st_size for path in (folder / text).iterdir()) for text in TEXTS
        }
        (folder / "addresses.toml").write_text(ADDRESSES)
        for rules in args.rules:
            _measure(args, rules, folder, sizes, only)
    return 0


def _measure(
    args: argparse.Namespace, rules: str, folder: Path, sizes: dict[str, int], only: list[str]
) -> None:
    pack = rules if rules == "builtin" else str(Path(rules).resolve())
    scans: dict[str, list[Scan]] = {}
    tree = args.tree.resolve()
    for turn in range(args.rounds + 1):
        for text in ("start", "benign", *only):
            with_rules = str(folder / "addresses.toml") if text == "addresses" else pack
            done = scan(tree, text, with_rules, folder / "out", args.workers)
            if turn:  # the first one fills caches
                scans.setdefault(text, []).append(done)
    start = scans.pop("start")
    wall, busy = (_cost(scans, start, sizes, field) for field in ("wall", "busy"))
    print(f"{Path(rules).name}, {args.workers} workers; the start is subtracted")
    print(
        f"{'':10} {'ms/MB':>8} {'ratio':>7} {'busy':>8} {'ratio':>7} {'findings':>9} {'µs each':>8}"
    )
    for text, own in scans.items():
        if len({(one.findings, one.digest) for one in own}) != 1:
            raise SystemExit(f"{text}: findings differ from round to round")
        count = own[0].findings
        each = f"{busy[text] * sizes[text] / count:8.2f}" if count else ""
        print(
            f"{text:10} {wall[text] * 1e3:8.2f} {wall[text] / wall['benign']:6.1f}× "
            f"{busy[text] * 1e3:8.2f} {busy[text] / busy['benign']:6.1f}× {count:9} {each:>8}",
            flush=True,
        )
    plain = [busy[text] for text, own in scans.items() if not own[0].findings]
    print(f"without findings: {max(plain) / busy['benign']:.1f}× at most, of the processors")
    if args.record:
        append(
            "dense_matches.jsonl",
            run_facts(_commit_of(tree), None if rules == "builtin" else rules)
            | {"bytes": sizes, "workers": args.workers, "start": start, "scans": scans},
        )


def _commit_of(tree: Path) -> str:
    asked = ["git", "-C", str(tree), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def _cost(
    scans: dict[str, list[Scan]], start: list[Scan], sizes: dict[str, int], field: str
) -> dict[str, float]:
    """Seconds a megabyte of each text, the start subtracted: the least of the rounds."""
    begun = min(getattr(one, field) for one in start)
    return {
        text: (min(getattr(one, field) for one in own) - begun) / sizes[text] * 1e6
        for text, own in scans.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
