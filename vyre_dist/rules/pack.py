"""RulePack: a rule pack that is loaded, checked and ready to compile; the front door here.

Files are found in loading.py, the formats are listed in formats.py, and what the filters mean is in
filters.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from vyre_dist import regex as rx
from vyre_dist.rules.diagnostics import Diagnostic, PackError
from vyre_dist.rules.draft import PackDraft, RuleDraft
from vyre_dist.rules.finish import finish
from vyre_dist.rules.left_out import LeftOut
from vyre_dist.rules.loading import Loader
from vyre_dist.rules.merging import join
from vyre_dist.rules.model import Allowlist, PackData, Rule
from vyre_dist.rules.patterns import Patterns


class RulePack:
    """A valid pack. Rules are in file order; `pack["id"]` finds one. Packs of equal data are equal.

    `dialect`: the PackFormat's name, "patterns", or "mixed". `warnings`: what is odd in the files
    but does no harm. `extends`: whether a file of it extends another pack, so that other files than
    those named have a say. `left_out`: the rules and files that `skip_unsupported` left out.
    """

    def __init__(
        self,
        data: PackData,
        *,
        dialect: str = "patterns",
        warnings: tuple[Diagnostic, ...] = (),
        extends: bool = False,
        left_out: tuple[LeftOut, ...] = (),
    ) -> None:
        self.data = data
        self.dialect = dialect
        self.warnings = warnings
        self.extends = extends
        self.left_out = left_out
        self._patterns = Patterns()

    @classmethod
    def load(cls, name: str | os.PathLike[str], *, skip_unsupported: bool = False) -> RulePack:
        """Load a file, a folder of files, or a built-in pack.

        Files are .toml (gitleaks, betterleaks, ours) or Nosey Parker's .yml. An existing path wins
        over a built-in name. `skip_unsupported`: rules with keys that do not exist here and would
        change what they find, files of other tools in a folder, and of two rules with one id the
        earlier, are left out. Raises PackError with everything that is wrong with the pack, and
        PackNotFoundError when there is no pack of that name.
        """
        loader = Loader(skip_unsupported=skip_unsupported)
        return cls._finish(loader.load(name), loader)

    @classmethod
    def load_all(
        cls, names: Iterable[str | os.PathLike[str]], *, skip_unsupported: bool = False
    ) -> RulePack:
        """Several packs side by side, as `load` finds them.

        Each keeps its global allowlists to its own rules. `skip_unsupported`: as for `load`. Raises
        PackError with everything that is wrong with any of them, rule ids that two packs use
        included.
        """
        loader = Loader(skip_unsupported=skip_unsupported)
        drafts = [loader.load(name) for name in names]
        name = "+".join(draft.name for draft in drafts)
        return cls._finish(join(name, drafts, loader.diagnostics), loader)

    @classmethod
    def builtin(cls) -> RulePack:
        """All packs that come with vyre-dist, as one."""
        loader = Loader()
        return cls._finish(loader.builtin(), loader)

    @classmethod
    def from_patterns(cls, patterns: Mapping[str, str], *, name: str = "patterns") -> RulePack:
        """A pack of plain regexes by rule id, without filters.

        Raises PackError with every regex that is wrong.
        """
        loader = Loader()
        draft = PackDraft(
            name,
            "patterns",
            [RuleDraft(Rule(rule_id, regex)) for rule_id, regex in patterns.items()],
        )
        for rule_id, regex in patterns.items():
            fault = loader.patterns.check(regex)
            if fault is not None:
                message = f"regex, column {fault.offset + 1}: {fault.reason}"
                loader.diagnostics.errors.append(Diagnostic("", 0, 0, rule_id, message))
        return cls._finish(draft, loader)

    @classmethod
    def _finish(cls, draft: PackDraft, loader: Loader) -> RulePack:
        data = finish(draft, loader.diagnostics, loader.patterns)
        warnings = tuple(loader.diagnostics.warnings)
        pack = cls(
            data,
            dialect=draft.format,
            warnings=warnings,
            extends=loader.extends,
            left_out=tuple(loader.diagnostics.left_out),
        )
        pack._patterns = loader.patterns
        return pack

    @property
    def name(self) -> str:
        """The pack's name: what its file says, or how the file is called."""
        return self.data.name

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, in file order."""
        return self.data.rules

    @property
    def allowlists(self) -> tuple[Allowlist, ...]:
        """The global allowlists."""
        return self.data.allowlists

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) of everything that changes findings."""
        return self.data.content_hash()

    @cached_property
    def regexes(self) -> tuple[rx.Regex | None, ...]:
        """Each rule's parsed regex, made when first asked for; None for a rule with a path only."""
        # parsing a faulty one again raises its error: data that came through no loader may hold one
        return tuple(
            None if r.regex is None else self._patterns.parsed(r.regex) or rx.parse(r.regex)
            for r in self.rules
        )

    @cached_property
    def _index(self) -> dict[str, int]:
        return {rule.id: index for index, rule in enumerate(self.rules)}

    def index_of(self, rule_id: str) -> int:
        """The rule's index in `rules`. Raises KeyError."""
        return self._index[rule_id]

    def __getitem__(self, rule_id: str) -> Rule:
        return self.rules[self._index[rule_id]]

    def __contains__(self, rule_id: object) -> bool:
        return rule_id in self._index

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def __eq__(self, other: object) -> bool:
        return self.data == other.data if isinstance(other, RulePack) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __reduce__(self) -> tuple[object, ...]:
        # parses are left behind: they are made again where they are needed
        return (_rebuild, (self.data, self.dialect, self.warnings, self.extends, self.left_out))

    def __repr__(self) -> str:
        return f"<RulePack {self.name!r}: {len(self.rules)} rules, {self.content_hash[:12]}>"


def _rebuild(
    data: PackData,
    dialect: str,
    warnings: tuple[Diagnostic, ...],
    extends: bool,
    left_out: tuple[LeftOut, ...],
) -> RulePack:
    return RulePack(data, dialect=dialect, warnings=warnings, extends=extends, left_out=left_out)


__all__ = ["PackError", "RulePack"]
