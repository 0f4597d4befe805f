"""Files that look like rule packs and are something else: which tool's, and why they do not help.

Only keys are looked at, since what is under a key such as `pattern` looks alike in all of them.
What is a pack is for the formats to say (formats.py).
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

_NO_KEYS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Foreign:
    """Another kind of file. `name`: for messages. `hint`: why it does not help, or what to do."""

    name: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Signature:
    """The keys by which a document shows that it is `kind`; any one of these conditions is enough.

    `rule`: one of its rules has one of these. `beside`: its top level has one of these.
    `instead`: as `rule`, if no rule has a `pattern`. `top`: its top level has one of these, and no
    `rules`. `all_top`: its top level has all of these, and no `rules`.
    """

    kind: Foreign
    top: frozenset[str] = _NO_KEYS
    all_top: frozenset[str] = _NO_KEYS
    beside: frozenset[str] = _NO_KEYS
    rule: frozenset[str] = _NO_KEYS
    instead: frozenset[str] = _NO_KEYS

    def fits(self, top: Set[str], rules: Set[str]) -> bool:
        """Whether a document with these keys at its top and in its rules is of this kind."""
        if (
            self.rule & rules
            or self.beside & top
            or (self.instead & rules and "pattern" not in rules)
        ):
            return True
        if "rules" in top:
            return False
        return bool(self.top & top) or (bool(self.all_top) and self.all_top <= top)


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


_REWRITE = "its rules cannot be read; write them as vyre-dist's or gitleaks' TOML"
_NO_RULES = "it holds no rules"

_YAML = (
    _Signature(
        Foreign("a semgrep pack", "its patterns are code to look for, not regexes"),
        rule=_keys(
            "patterns pattern-either pattern-regex pattern-not pattern-inside pattern-sources "
            "pattern-sinks "
            "languages match taint r2c-internal-project-depends-on"
        ),
    ),
    _Signature(
        Foreign(
            "a Nosey Parker rule set", "it chooses among rules; here all rules of a pack are used"
        ),
        top=_keys("rulesets"),
    ),
    _Signature(
        Foreign("a trivy secret configuration", _REWRITE),
        beside=_keys(
            "enable-builtin-rules disable-rules disable-allow-rules allow-rules exclude-block"
        ),
        rule=_keys("secret-group-name allow-rules exclude-block"),
    ),
    _Signature(
        Foreign("a pack in another tool's format", _REWRITE),
        instead=_keys("regex regexes regexp condition"),
    ),
    _Signature(Foreign("a trufflehog configuration", _REWRITE), top=_keys("detectors sources")),
    _Signature(
        Foreign("a detect-secrets baseline", _NO_RULES),
        top=_keys("plugins_used filters_used generated_at"),
    ),
    _Signature(
        Foreign("a Sigma rule", "it is about log events, not files"),
        all_top=_keys("logsource detection"),
    ),
    _Signature(
        Foreign("a nuclei template", "it is about hosts, not files"), all_top=_keys("id info")
    ),
    _Signature(
        Foreign("a Bearer rule", "its patterns are code to look for, not regexes"),
        all_top=_keys("patterns languages"),
    ),
    _Signature(
        Foreign("a list of patterns in another tool's format", _REWRITE),
        top=_keys("patterns signatures regexes"),
    ),
    _Signature(
        Foreign("an ast-grep rule", "its patterns are code to look for, not regexes"),
        all_top=_keys("rule language"),
    ),
    _Signature(
        Foreign("a Talisman configuration", _NO_RULES), top=_keys("fileignoreconfig scopeconfig")
    ),
    _Signature(
        Foreign("a ggshield configuration", _NO_RULES),
        top=_keys("paths-ignore matches-ignore paths_ignore"),
    ),
    _Signature(Foreign("a pre-commit configuration", _NO_RULES), top=_keys("repos")),
    _Signature(Foreign("a CI workflow", _NO_RULES), all_top=_keys("jobs on")),
)
_TOML = (
    _Signature(
        Foreign("a Python project's file", _NO_RULES), top=_keys("project tool build-system")
    ),
    _Signature(
        Foreign("a Rust project's file", _NO_RULES), top=_keys("package dependencies workspace")
    ),
)

HINTS_BY_ENDING = {
    ".yar": "YARA's rules are conditions over strings; rewrite those that are single regexes as "
    "TOML",
    ".yara": "YARA's rules are conditions over strings; rewrite those that are single regexes as "
    "TOML",
    ".baseline": "it is detect-secrets' and holds no rules",
    ".json": "detect-secrets' baselines, trufflehog's old lists and others' are JSON; write the "
    "rules as TOML",
}
"""Why a file with such an ending is no pack, and what to do."""


def foreign_yaml(top: Set[str], rules: Set[str]) -> Foreign | None:
    """What a YAML file is instead of a pack, by the keys at its top and those of its rules."""
    return next((signature.kind for signature in _YAML if signature.fits(top, rules)), None)


def foreign_toml(top: Set[str]) -> Foreign | None:
    """What a TOML file without rules is instead of a pack, by the keys at its top."""
    return next((signature.kind for signature in _TOML if signature.fits(top, _NO_KEYS)), None)
