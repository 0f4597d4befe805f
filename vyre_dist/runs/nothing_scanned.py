"""Why a run scanned no document. Exit code 0 says that nothing was found, and here nothing was
looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def cause(
    skipped: Mapping[str, int],
    *,
    include: Sequence[str] = (),
    empty_list: str | None = None,
    paths: Sequence[str] | None = None,
) -> str:
    """A sentence without its full stop; "" where the only cause is problems, which are listed.

    `skipped`: entries left out, by reason. `empty_list`: a list of files without a name in it.
    `paths`: what was asked for, None where not all of it could be scanned.
    """
    causes = [
        text.format(_entries(skipped[reason]))
        for reason, text in _causes(include).items()
        if skipped.get(reason)
    ]
    if empty_list is not None:
        where = "on standard input" if empty_list == "-" else empty_list
        causes.insert(0, f"the list {where} is empty")
    if not causes and paths is not None:
        causes = [f"there is no file in {', '.join(paths) or 'what was asked for'}"]
    return "no document was scanned: " + "; ".join(causes) if causes else ""


def _causes(include: Sequence[str]) -> dict[str, str]:
    given = (
        " ".join(f"--include {pattern}" for pattern in include)
        .replace("{", "{{")
        .replace("}", "}}")
    )
    return {
        "not-included": f"{given or '--include'} matches nothing of what there is ({{}} left out)",
        "excluded-glob": "--exclude leaves out {}",
        "gitignored": "ignore files leave out {} (--no-gitignore takes them)",
        "too-large": "--max-file-size leaves out {}",
        "symlink": "{} not followed, as symbolic links (--follow takes them)",
        "git-dir": "{} left out, as .git (name it to scan it)",
        "own-file": "{} left out, as the scan's own output",
        "allowlisted-path": "the rules' allowlists leave out {} by path",
    }


def _entries(number: int) -> str:
    return f"{number:,} {'entry' if number == 1 else 'entries'}"
