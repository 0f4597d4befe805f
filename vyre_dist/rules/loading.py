"""Files to drafts: which format a file has, what it extends, and the built-in packs.

The formats themselves are in the modules named after them, the merge in draft.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from vyre_dist.errors import UsageError
from vyre_dist.rules import noseyparker_yaml, toml_pack
from vyre_dist.rules.diagnostics import Diagnostic, Diagnostics, PackError
from vyre_dist.rules.draft import Extend, PackDraft, join, overlay
from vyre_dist.rules.foreign import foreign_toml, hint_for_ending
from vyre_dist.rules.gitleaks_toml import GITLEAKS
from vyre_dist.rules.native_toml import NATIVE, is_native
from vyre_dist.rules.patterns import Patterns

BUILTIN = "builtin"
# gitleaks' own limit; it stops silently there, we say so
MAX_EXTEND_DEPTH = 2
_TOML, _YAML = (".toml",), (".yml", ".yaml")


class PackNotFoundError(UsageError):
    """`name` is neither a file or folder nor a built-in pack. `builtin`: the names of those."""

    def __init__(self, name: str, builtin: tuple[str, ...]) -> None:
        self.name = name
        self.builtin = builtin
        super().__init__(
            f"no rule pack {name!r}: there is no such file or folder, and the built-in packs are "
            + ", ".join(builtin)
            + "; name one of these, a .toml or .yml file, or a folder of such files"
        )

    def __reduce__(self) -> tuple[type[PackNotFoundError], tuple[str, tuple[str, ...]]]:
        return (type(self), (self.name, self.builtin))


def builtin_names() -> tuple[str, ...]:
    """The names of the built-in packs: `builtin` for all of them together, then each one's own."""
    return (BUILTIN, *(f"{BUILTIN}:{stem}" for stem in _builtin_files()))


def _builtin_files() -> dict[str, bytes]:
    folder = resources.files("vyre_dist.rules") / BUILTIN
    if not folder.is_dir():
        return {}
    files = {f.name: f for f in folder.iterdir() if f.name.endswith(".toml")}
    return {name.removesuffix(".toml"): files[name].read_bytes() for name in sorted(files)}


class Loader:
    """Loads drafts and collects their diagnostics. `patterns` holds every pattern of them, parsed;
    `extends`: whether one of them extends another pack. `skip_unsupported`: see Diagnostics.
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
            self._toml(data, f"{BUILTIN}:{stem}", stem, None, ()) for stem, data in files.items()
        ]
        return join(name, drafts, self.diagnostics)

    def _folder(self, folder: Path) -> PackDraft:
        files = sorted(
            f for f in folder.rglob("*") if f.suffix.lower() in _TOML + _YAML and f.is_file()
        )
        if not files:
            raise PackError(
                [
                    Diagnostic(
                        str(folder),
                        0,
                        0,
                        "",
                        "no rule files in this folder",
                        "it must hold .toml or .yml files",
                    )
                ]
            )
        return join(
            folder.name, [draft for file in files for draft in self._kept(file)], self.diagnostics
        )

    def _kept(self, file: Path) -> Iterator[PackDraft]:
        # one unreadable file of a folder must not hide what is wrong with the others
        try:
            yield self._file(file, ())
        except PackError as error:
            self.diagnostics.errors.extend(error.diagnostics)

    def _file(self, path: Path, below: tuple[Path, ...]) -> PackDraft:
        suffix = path.suffix.lower()
        if suffix not in _TOML + _YAML:
            message = f"a rule file cannot end in {suffix!r}"
            raise PackError([Diagnostic(str(path), 0, 0, "", message, hint_for_ending(suffix))])
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PackError(
                [Diagnostic(str(path), 0, 0, "", f"cannot be read: {error.strerror}")]
            ) from error
        if suffix in _YAML:
            return noseyparker_yaml.read_pack(
                data, str(path), path.stem, self.diagnostics, self.patterns
            )
        return self._toml(data, str(path), path.stem, path, below)

    def _toml(
        self, data: bytes, file: str, name: str, path: Path | None, below: tuple[Path, ...]
    ) -> PackDraft:
        document, text = toml_pack.parse_toml(data, file)
        foreign = None if "rules" in document else foreign_toml(document.keys())
        if foreign is not None:
            told = Diagnostic(file, 1, 0, "", f"this is {foreign.name}", foreign.hint, foreign.name)
            return PackDraft(name, GITLEAKS.format, unsupported=(told,))
        dialect = NATIVE if is_native(document) else GITLEAKS
        draft = toml_pack.read_pack(
            document, text, file, name, dialect, self.diagnostics, self.patterns
        )
        if draft.extend is None or not (draft.extend.use_default or draft.extend.path):
            return draft
        self.extends = True
        base = self._base(draft.extend, path, below)
        return draft if base is None else overlay(draft, base, draft.extend, self.diagnostics)

    def _base(self, extend: Extend, path: Path | None, below: tuple[Path, ...]) -> PackDraft | None:
        def problem(message: str, hint: str = "") -> None:
            self.diagnostics.errors.append(
                Diagnostic(extend.origin.file, extend.origin.line, 0, "", message, hint)
            )

        if extend.use_default:
            if path is None:
                problem("a built-in pack cannot extend the built-in packs")
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
            problem(
                f"extended pack {extend.path!r} does not exist",
                "path is relative to this file's folder, else to where you are",
            )
            return None
        chain = (*below, *(() if path is None else (path.resolve(),)))
        if target.resolve() in chain:
            names = " -> ".join(f.name for f in (*chain, target))
            problem(
                f"packs extend each other in a circle: {names}",
                "remove one of these [extend] tables",
            )
            return None
        if len(chain) > MAX_EXTEND_DEPTH:
            problem(
                f"packs extend each other more than {MAX_EXTEND_DEPTH} deep",
                "merge two of these files",
            )
            return None
        return self._file(target, chain)

    @staticmethod
    def _extended_file(name: str, path: Path | None) -> Path | None:
        folders = [Path()] if path is None else [path.parent, Path()]
        return next((folder / name for folder in folders if (folder / name).is_file()), None)
