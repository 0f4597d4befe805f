"""WalkOptions: what a walk takes and what it leaves out. walk.py and tree.py act on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """What a walk takes. The command sets a field by the option of the same parameter name.

    `respect_gitignore`: leave out what ignore files exclude. `require_git`: ignore files count only
    inside of repositories. `follow_symlinks`: follow links that are met inside of a folder.
    `hidden`: take names that begin with a dot. `git_dir`: take `.git` folders.

    `include` and `exclude` are globs in gitignore's language (without `#` and `!`): one without a
    slash is matched against names at any depth, one with a slash against the path from the argument
    and from the working directory alike; a final slash means directories. `include` keeps files
    that match or lie below a directory that does; `exclude` wins over it. Both also apply to the
    arguments and the directories that those lie in. `max_file_size`: bytes; larger files are
    counted as too-large.
    """

    respect_gitignore: bool = True
    require_git: bool = False
    follow_symlinks: bool = False
    hidden: bool = True
    git_dir: bool = False
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    max_file_size: int | None = None
