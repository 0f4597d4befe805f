"""`make demo`: scan Python's own library and this folder with the built-in rules, on a local Ray
cluster of two actors.

Shows what a scan shows (progress, findings, the merged report), then checks that every secret
planted in this folder was found. Ends with exit code 0 if so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Run the scan as a user would, from the command line, and compare with EXPECTED.json."""
    with tempfile.TemporaryDirectory(prefix="vyre-dist-demo-") as folder:
        found_file = Path(folder) / "findings.jsonl"
        command = [
            sys.executable,
            "-m",
            "vyre_dist",
            "scan",
            sysconfig.get_paths()["stdlib"],
            str(HERE),
        ]
        # installed packages are no part of the library, and differ from machine to machine
        command += [
            "--exclude",
            "site-packages",
            "--exclude",
            "dist-packages",
            "--exclude",
            "EXPECTED.json",
        ]
        command += ["--pool", "ray", "--address", "local", "--workers", "2"]
        command += ["--format", "human", "--format", f"jsonl={found_file}"]
        print("$ vyre-dist", *command[3:], flush=True)
        code = subprocess.run(command, check=False).returncode
        if code != 1:
            print(
                f"demo: the scan ended with exit code {code}; 1 (findings) was expected",
                file=sys.stderr,
            )
            return 1
        lines = [json.loads(line) for line in found_file.read_text().splitlines()]
    found = {
        (f["rule_id"], Path(f["path"]).relative_to(HERE).as_posix(), f["line"])
        for f in lines
        if f["type"] == "finding" and Path(f["path"]).is_relative_to(HERE)
    }
    expected = {
        (e["rule_id"], e["path"], e["line"])
        for e in json.loads((HERE / "EXPECTED.json").read_text())
    }
    for missing in sorted(expected - found):
        print(f"demo: planted, but not found: {missing}", file=sys.stderr)
    for added in sorted(found - expected):
        print(f"demo: found, but not planted: {added}", file=sys.stderr)
    print(f"demo: {len(found & expected)} of {len(expected)} planted secrets found")
    return 0 if found == expected else 1


if __name__ == "__main__":
    raise SystemExit(main())
