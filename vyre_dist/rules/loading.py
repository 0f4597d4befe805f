"""Files to drafts: folders, what a file extends, and the built-in packs.

Which format reads a file is in formats.py, the merge of drafts in merging.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from vyre_dist.errors import UsageError
from vyre_dist.rules.diagnostics import Diagnostic, Diagnostics, PackError
from vyre_dist.rules.draft import Extend, PackDraft
from vyre_dist.rules.formats import ENDINGS, check_ending, read_pack
from vyre_dist.rules.merging import join, overlay
from vyre_dist.rules.pack_format import TOML_ENDINGS, PackSource
from vyre_dist.rules.patterns import Patterns

BUILTIN = "builtin"
# gitleaks' own limit; it stops silently there, we say so
MAX_EXTEND_DEPTH = 2
_ENDINGS = " or ".join((", ".join(ENDINGS[:-1]), ENDINGS[-1]))


class PackNotFoundError(UsageError):
    """`name` is neither a file or folder nor a built-in pack. `builtin`: the names of those."""

    def __init__(self, name: str, builtin: tuple[str, ...]) -> None:
        self.name = name
        self.builtin = builtin
        super().__init__(
            f"no rule pack {name!r}: there is no such file or folder, and the built-in packs are "
            + ", ".join(builtin)
            + f"; name one of these, a {_ENDINGS} file, or a folder of such files"
        )

    def __reduce__(self) -> tuple[type[PackNotFoundError], tuple[str, tuple[str, ...]]]:
        return (type(self), (self.name, self.builtin))


def builtin_names() -> tuple[str, ...]:
    """The names of the built-in packs: `builtin` for all of them together, then each one's own."""
    return (BUILTIN, *(f"{BUILTIN}:{stem}" for stem in _builtin_files()))


def _builtin_files() -> dict[str, bytes]:
    # not importlib.resources, whose import takes 5 ms
    folder = Path(__file__).with_name(BUILTIN)
    if not folder.is_dir():
        return {}
    files = {f.name: f for f in folder.iterdir() if f.name.endswith(".toml")}
    return {name.removesuffix(".toml"): files[name].read_bytes() for name in sorted(files)}


class Loader:
    """Loads drafts, several if need be, and collects what is wrong with them in `diagnostics`.

    `patterns`: every pattern in them, parsed. `extends`: whether one of them extends another pack.
    `skip_unsupported`: see Diagnostics.
    """

    def __init__(self, *, skip_unsupported: bool = False) -> None:
        self.diagnostics = Diagnostics(skip_unsupported=skip_unsupported)
        self.patterns = Patterns()
        self.extends = False

    def load(self, name: str | os.PathLike[str]) -> PackDraft:
        """The draft of a file, a folder or a built-in pack.

        Raises PackNotFoundError, or PackError where nothing at all could be read; other problems
        are in `diagnostics`.
        """
        path = Path(name)
        if path.is_dir():
            return self._folder(path)
        if path.exists():
            return self._file(path, ())
        return self.builtin(os.fspath(name))

    def builtin(self, name: str = BUILTIN) -> PackDraft:
        """The built-in pack `name`, or all of them as one."""
        files = _builtin_files()
        if name != BUILTIN:
            stem = name.removeprefix(f"{BUILTIN}:")
            if stem not in files:
                raise PackNotFoundError(name, builtin_names())
            files = {stem: files[stem]}
        drafts = [
            self._read(data, f"{BUILTIN}:{stem}", stem, TOML_ENDINGS[0], None, ())
            for stem, data in files.items()
        ]
        return join(name, drafts, self.diagnostics)

    def _folder(self, folder: Path) -> PackDraft:
        files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in ENDINGS and f.is_file())
        if not files:
            message = "no rule files in this folder"
            hint = f"it must hold {_ENDINGS} files"
            raise PackError([Diagnostic(str(folder), 0, 0, "", message, hint)])
        drafts = [draft for file in files for draft in self._if_readable(file)]
        return join(folder.name, drafts, self.diagnostics)

    def _if_readable(self, file: Path) -> Iterator[PackDraft]:
        # one unreadable file of a folder must not hide what is wrong with the others
        try:
            yield self._file(file, ())
        except PackError as error:
            self.diagnostics.errors.extend(error.diagnostics)

    def _file(self, path: Path, extending: tuple[Path, ...]) -> PackDraft:
        ending = path.suffix.lower()
        check_ending(str(path), ending)
        try:
            data = path.read_bytes()
        except OSError as error:
            message = f"cannot be read: {error.strerror}"
            raise PackError([Diagnostic(str(path), 0, 0, "", message)]) from error
        return self._read(data, str(path), path.stem, ending, path, extending)

    def _read(
        self,
        data: bytes,
        file: str,
        name: str,
        ending: str,
        path: Path | None,
        extending: tuple[Path, ...],
    ) -> PackDraft:
        """The draft in `data`, on top of what it extends.

        `path`: where it is, None for a built-in pack. `extending`: the files that led to it.
        """
        draft = read_pack(PackSource(data, file, name, ending, self.diagnostics, self.patterns))
        if draft.extend is None or not (draft.extend.use_default or draft.extend.path):
            return draft
        self.extends = True
        base = self._base(draft.extend, path, extending)
        return draft if base is None else overlay(draft, base, draft.extend, self.diagnostics)

    def _base(
        self, extend: Extend, path: Path | None, extending: tuple[Path, ...]
    ) -> PackDraft | None:
        """What the pack at `path` extends; None, with an error, where that cannot be had."""

        def report_error(message: str, hint: str = "") -> None:
            self.diagnostics.errors.append(
                Diagnostic(extend.origin.file, extend.origin.line, 0, "", message, hint)
            )

        if extend.use_default:
            if path is None:
                report_error("a built-in pack cannot extend the built-in packs")
                return None
            message = (
                "useDefault stands for vyre-dist's built-in packs, not for gitleaks' own default "
                "rules"
            )
            hint = "to build upon gitleaks' rules, save its gitleaks.toml and name it with path"
            self.diagnostics.warnings.append(
                Diagnostic(extend.origin.file, extend.origin.line, 0, "", message, hint)
            )
            return self.builtin()
        target = self._extended_file(extend.path, path)
        if target is None:
            report_error(
                f"extended pack {extend.path!r} does not exist",
                "path is relative to this file's folder, else to where you are",
            )
            return None
        chain = (*extending, *(() if path is None else (path.resolve(),)))
        if target.resolve() in chain:
            names = " -> ".join(f.name for f in (*chain, target))
            report_error(
                f"packs extend each other in a circle: {names}",
                "remove one of these [extend] tables",
            )
            return None
        if len(chain) > MAX_EXTEND_DEPTH:
            report_error(
                f"packs extend each other more than {MAX_EXTEND_DEPTH} deep",
                "merge two of these files",
            )
            return None
        return self._file(target, chain)

    @staticmethod
    def _extended_file(name: str, path: Path | None) -> Path | None:
        folders = [Path()] if path is None else [path.parent, Path()]
        return next((folder / name for folder in folders if (folder / name).is_file()), None)
