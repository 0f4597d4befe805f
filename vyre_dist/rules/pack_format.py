"""PackFormat: what every format of rule packs declares of itself; PackSource: the file it reads.

The list of the formats is in formats.py, each format in the module named after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import yaml

from vyre_dist.rules.diagnostics import Diagnostic, Diagnostics
from vyre_dist.rules.draft import PackDraft
from vyre_dist.rules.foreign import foreign_toml, foreign_yaml
from vyre_dist.rules.patterns import Patterns
from vyre_dist.rules.toml_document import TomlDocument, parse_toml
from vyre_dist.rules.yaml_nodes import compose, keys

TOML_ENDINGS = (".toml",)
YAML_ENDINGS = (".yml", ".yaml")


class PackSource:
    """One file of rules, parsed at most once however many formats look at it.

    `file`: as messages name it. `name`: of the pack, unless the file says another. `ending`: of the
    file's name, in lower case. `diagnostics` and `patterns` collect what the reader finds.
    """

    def __init__(
        self,
        data: bytes,
        file: str,
        name: str,
        ending: str,
        diagnostics: Diagnostics,
        patterns: Patterns,
    ) -> None:
        self.data = data
        self.file = file
        self.name = name
        self.ending = ending
        self.diagnostics = diagnostics
        self.patterns = patterns

    @cached_property
    def toml(self) -> TomlDocument:
        """The file as TOML. Raises PackError."""
        return parse_toml(self.data, self.file)

    @cached_property
    def yaml(self) -> yaml.Node | None:
        """The file as YAML, None for an empty one. Raises PackError."""
        return compose(self.data, self.file)

    @cached_property
    def foreign(self) -> Diagnostic | None:
        """What the file is instead of a rule pack, as far as its keys tell. Raises PackError."""
        if self.ending in TOML_ENDINGS:
            found, line, column = foreign_toml(self.toml.values.keys()), 1, 0
        elif self.ending in YAML_ENDINGS and (root := self.yaml) is not None:
            entries = root.value if isinstance(root, yaml.MappingNode) else []
            top = {str(k.value): value for k, value in entries if isinstance(k, yaml.ScalarNode)}
            rules = top.get("rules")
            listed = rules.value if isinstance(rules, yaml.SequenceNode) else []
            found = foreign_yaml(top.keys(), {key for rule in listed for key in keys(rule)})
            line, column = root.start_mark.line + 1, root.start_mark.column + 1
        else:
            return None
        if found is None:
            return None
        return Diagnostic(
            self.file, line, column, "", f"this is {found.name}", found.hint, found.name
        )


@dataclass(frozen=True, slots=True)
class PackFormat:
    """A format of rule packs.

    `name`: what RulePack.dialect says. `title`: what messages call it. `endings`: of its files'
    names. `recognises`: whether a file with such an ending is of this format. `read`: its draft;
    what is wrong goes to the source's diagnostics, and what could be read comes back all the same.
    Both raise PackError where nothing can be read.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    recognises: Callable[[PackSource], bool]
    read: Callable[[PackSource], PackDraft]
