"""The tree that the pages' commands speak of: packs, sources and a git repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from pages import ROOT

_TOKEN = "acme_live_0123456789abcdefghijklmnopqrstuv"

_ACME = """
[[rules]]
id = "acme-token"
description = "Acme API token"
regex = '''\\bacme_live_([0-9a-z]{32})\\b'''
keywords = ["acme_"]

[[rules]]
id = "generic-api-key"
regex = '''(?i)api_?key ?= ?"([0-9a-z]{20,40})"'''
keywords = ["key"]

[[rules]]
id = "noisy-rule"
regex = '''noise-[0-9]{8}'''
"""

# one rule asks for what is not here
_KINGFISHER = """
rules:
  - name: Acme API token
    id: kingfisher.acme.1
    pattern: '\\b(acme_live_[0-9a-z]{32})\\b'
    min_entropy: 2.5
  - name: Acme key
    id: kingfisher.acme.2
    pattern: 'acme-([0-9]{8})'
    pattern_requirements:
      min_digits: 2
"""


def make_tree(top: Path) -> Path:
    """Write the tree into `top`, with a git repository around it."""
    for folder in ("src", "docs", "results", "kingfisher"):
        (top / folder).mkdir(parents=True)
    for name in ("gitleaks.toml", "my-pack.toml", "base.toml"):
        (top / name).write_text(_ACME)
    (top / "kingfisher" / "acme.yml").write_text(_KINGFISHER)
    (top / "src" / "config.py").write_text(f'token = "{_TOKEN}"\n')
    (top / "docs" / "index.md").write_text("nothing to find\n")
    shutil.copytree(ROOT / "examples", top / "examples")
    git(top, "init", "--quiet", "--initial-branch=main")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message=first")
    git(top, "update-ref", "refs/remotes/origin/main", "HEAD")
    (top / "src" / "more.py").write_text("key = 1\n")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message=second")
    (top / "src" / "staged.py").write_text("key = 2\n")
    git(top, "add", ".")
    (top / "src" / "untracked.py").write_text("key = 3\n")
    return top


def git(top: Path, *arguments: str) -> None:
    """Run git in `top`, whatever the user's configuration is."""
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.invalid"]
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *who, *arguments], cwd=top, env=env, check=True, timeout=60)


def private_environment(home: Path, cache: Path) -> dict[str, str]:
    """The environment of a user who has just installed: nothing of the caller's but how to find
    programs.
    """
    binaries = str(Path(sys.executable).parent)
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.pathsep.join([binaries, os.environ.get("PATH", os.defpath)]),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "XDG_CACHE_HOME": str(cache),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "LANG": "C.UTF-8",
    }
