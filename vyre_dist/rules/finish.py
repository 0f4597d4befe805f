"""finish: the checks on a whole pack, after which it is PackData.

What can be seen in one file alone is checked by the module that reads its format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from vyre_dist import regex as rx
from vyre_dist.rules.diagnostics import Diagnostic, Diagnostics
from vyre_dist.rules.draft import PackDraft, diagnostic_at, did_you_mean, unique
from vyre_dist.rules.left_out import LeftOut, by_reason, lines
from vyre_dist.rules.merging import one_per_id, with_file_wide
from vyre_dist.rules.model import Origin, PackData, Rule
from vyre_dist.rules.patterns import Patterns


def finish(draft: PackDraft, diagnostics: Diagnostics, patterns: Patterns) -> PackData:
    """Check the whole draft and make PackData of it.

    Faults of patterns are in `diagnostics` already. What is unsupported is an error, too, or, with
    `skip_unsupported`, is left out and listed in `diagnostics.left_out`. Raises PackError if there
    is an error.
    """
    left_out = set(draft.disabled)
    used = []
    for item in with_file_wide(draft):
        if item.enabled and not item.silent:
            used.append(item)
            continue
        left_out.add(item.rule.id)
        if item.enabled:
            message = "skipReport: the rule reports nothing on its own and is left out"
            diagnostics.warnings.append(diagnostic_at(item.rule.origin, item.rule.id, message))
    rules: dict[str, Rule] = {}
    for item in one_per_id(used, diagnostics):
        rule = item.rule
        found = [*item.unsupported, *_rule_errors(rule, patterns)]
        if diagnostics.skip_unsupported and any(error.unsupported for error in found):
            _leave_out(
                rule.id, [error for error in found if error.unsupported], rule.origin, diagnostics
            )
            left_out.add(rule.id)
            continue
        rules[rule.id] = rule
        diagnostics.errors.extend(found)
        diagnostics.warnings.extend(_costs(rule, patterns))
    for error in draft.ruleless + (() if draft.rules else draft.unsupported):
        if diagnostics.skip_unsupported:
            _leave_out("", [error], Origin(error.file, error.line), diagnostics)
        else:
            diagnostics.errors.append(error)
    # what concerns a whole file was found with each of its rules
    diagnostics.errors[:] = dict.fromkeys(diagnostics.errors)
    _check_targets(draft, rules, left_out, diagnostics)
    if not rules and not diagnostics.errors:
        message = "the pack has no rules, a scan would find nothing"
        if diagnostics.left_out:
            told = "; ".join(lines(by_reason(diagnostics.left_out)))
            message = f"the pack has no rules but such as are not supported: {told}"
        diagnostics.errors.append(diagnostic_at(Origin(draft.name), "", message))
    diagnostics.raise_if_any()
    allowlists = tuple(
        replace(a, target_rules=tuple(t for t in a.target_rules if t in rules))
        for a in (written.allowlist for written in draft.allowlists)
        # one whose targets are all switched off must not become a global one
        if not a.target_rules or any(t in rules for t in a.target_rules)
    )
    return PackData(draft.name, tuple(rules.values()), allowlists)


def _costs(rule: Rule, patterns: Patterns) -> list[Diagnostic]:
    """What makes the rule dear to scan for, beyond what any rule costs."""
    regex = None if rule.regex is None else patterns.parsed(rule.regex)
    if regex is None or not rx.counts_apart(regex.root):
        return []
    most = rx.MOST_SEARCHED
    message = (
        f"a repeat of more than {most} positions is counted step by step where it begins: a scan "
        f"may be slow"
    )
    return [
        diagnostic_at(
            rule.origin,
            rule.id,
            message,
            f"a count of at most {most} or none is searched at full speed",
        )
    ]


def _leave_out(
    rule_id: str, errors: Sequence[Diagnostic], origin: Origin, diagnostics: Diagnostics
) -> None:
    reason = " and ".join(unique(error.unsupported for error in errors))
    diagnostics.left_out.append(LeftOut(rule_id, reason, origin.file, origin.line))


def _check_targets(
    draft: PackDraft, rules: Mapping[str, Rule], left_out: Collection[str], diagnostics: Diagnostics
) -> None:
    known = [*rules, *left_out]
    for written in draft.allowlists:
        for target in written.allowlist.target_rules:
            if target not in rules and target not in left_out:
                message = f"allowlist targets rule {target!r}, which is not in the pack"
                diagnostics.errors.append(
                    diagnostic_at(written.origin, "", message, did_you_mean(target, known))
                )


def _rule_errors(rule: Rule, patterns: Patterns) -> Iterable[Diagnostic]:
    if rule.regex is None and rule.path is None:
        hint = "if it is meant to change a rule of another pack, name that pack in [extend]"
        yield diagnostic_at(
            rule.origin, rule.id, "has neither regex nor path, so it could never match", hint
        )
    if rule.regex is None and rule.path is not None and rule.keywords:
        # Refused, as other filters that do not exist here: without them the rule reports every file
        # in a fitting place.
        message = "has keywords and no regex: a rule with a path only does not look into files"
        hint = "write the keywords as its regex, such as '(?i)word', or remove them"
        yield replace(
            diagnostic_at(rule.origin, rule.id, message, hint),
            unsupported="keywords of a rule with a path only",
        )
    regex = None if rule.regex is None else patterns.parsed(rule.regex)
    groups = 0 if regex is None else regex.groups
    if rule.secret_group > groups and (regex is not None or rule.regex is None):
        message = (
            f"secret group {rule.secret_group} asked for, the regex has {groups} "
            f"group{'s' * (groups != 1)}"
        )
        yield diagnostic_at(rule.origin, rule.id, message, f"use 0 to {groups}")
