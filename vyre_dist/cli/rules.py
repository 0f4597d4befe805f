"""`vyre-dist rules`: list, check and explain the rules of a pack."""

from __future__ import annotations

import difflib
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.cli.rule_options import SKIP_UNSUPPORTED

if TYPE_CHECKING:
    from vyre_dist.rules import RulePack


@click.group()
def rules() -> None:
    """Look at rule packs and check them."""


@rules.command("list", short_help="List the rules of a pack.")
@click.argument("pack", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@SKIP_UNSUPPORTED
def list_rules(pack: str | None, as_json: bool, skip_unsupported: bool) -> int:
    """List the rules of PACK: a file, a folder or a built-in pack's name. Default: everything built
    in.
    """
    loaded = _load(pack, skip_unsupported)
    _tell_of_left_out(loaded)
    for rule in loaded:
        if as_json:
            click.echo(
                json.dumps(
                    {
                        "id": rule.id,
                        "description": rule.description,
                        "regex": rule.regex,
                        "path": rule.path,
                        "keywords": rule.keywords,
                        "entropy": rule.entropy,
                        "secret_group": rule.secret_group,
                        "tags": rule.tags,
                    }
                )
            )
        else:
            click.echo(f"{rule.id:44} {rule.description}")
    if not as_json:
        click.echo(f"{len(loaded)} rules in {loaded.name}", err=True)
    return ExitCode.CLEAN


@rules.command(short_help="Check a pack: syntax, limits, examples.")
@click.argument("pack", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--quiet", "-q", is_flag=True, help="Print only what is wrong.")
@SKIP_UNSUPPORTED
def check(pack: str | None, as_json: bool, quiet: bool, skip_unsupported: bool) -> int:
    """Check PACK: its syntax, how each rule will be searched for, and whether its examples match.

    Prints for each rule its anchors and how often ordinary text is expected to have them, and its
    automata, or why the host has to do the work. Prints every problem with its file, line or rule.
    Exit codes: 0 fit for use, 2 not.
    """
    from vyre_dist.compiler import compile_tables, default_model
    from vyre_dist.compiler.explain import summarize, summarize_pack
    from vyre_dist.kernels.routes import rule_routes
    from vyre_dist.program import RulesRefusedError, compile_pack
    from vyre_dist.rules import check_pack

    loaded = _load(pack, skip_unsupported)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    _tell_of_left_out(loaded)
    routes: dict[int, str] = {}
    refused: dict[str, str] = {}
    try:
        routes = rule_routes(compile_pack(loaded.data))
    except RulesRefusedError as error:
        refused = dict(error.refused)
    missing = "" if refused else "not searched for: no text can match the regex"
    reports = check_pack(loaded, route=lambda index, _rule, _regex: routes.get(index, missing))
    # what google-re2 refuses, check_pack has found for itself
    reports = [
        replace(r, problems=(refused[r.rule_id],)) if r.rule_id in refused and not r.problems else r
        for r in reports
    ]
    searched = [regex for regex in loaded.regexes if regex is not None]
    compiled = None if quiet and not as_json else compile_tables([regex.root for regex in searched])
    programs = iter(() if compiled is None else compiled.rules)
    bad = 0
    for report, regex in zip(reports, loaded.regexes, strict=True):
        bad += not report.ok
        summary = None if regex is None or compiled is None else summarize(next(programs))
        if as_json:
            tables = None if summary is None else asdict(summary)
            click.echo(json.dumps({**asdict(report), "ok": report.ok, "tables": tables}))
        elif not report.ok or not quiet:
            _print(report, "" if summary is None else summary.line)
    if not as_json:
        if compiled is not None:
            click.echo(summarize_pack(compiled, default_model()).line)
        fit = "fit for use" if not bad else f"{bad} not fit for use"
        left_out = f", {len(loaded.left_out)} left out" if loaded.left_out else ""
        click.echo(f"{loaded.name}: {len(reports)} rules, {fit}{left_out}")
    return ExitCode.USAGE if bad else ExitCode.CLEAN


@rules.command(short_help="Draw how one rule is searched for.")
@click.argument("rule_id", metavar="ID")
@click.argument("pack", required=False)
@click.option("--dot", is_flag=True, help="Write for Graphviz, with small automata state by state.")
@SKIP_UNSUPPORTED
def explain(rule_id: str, pack: str | None, dot: bool, skip_unsupported: bool) -> int:
    """Draw how the rule ID of PACK finds its matches: windows, probes, automata. Default:
    everything built in.
    """
    from vyre_dist.compiler import compile_rule, default_model
    from vyre_dist.compiler.drawing import draw_dot, draw_text
    from vyre_dist.errors import UsageError
    from vyre_dist.regex import parse

    loaded = _load(pack, skip_unsupported)
    rule = next((rule for rule in loaded if rule.id == rule_id), None)
    if rule is None:
        near = difflib.get_close_matches(rule_id, [rule.id for rule in loaded], 3)
        hint = f"is it one of {', '.join(near)}?" if near else "`vyre-dist rules list` names all"
        raise UsageError(f"{loaded.name} has no rule {rule_id!r}: {hint}")
    if rule.regex is None:
        raise UsageError(
            f"rule {rule_id!r} has only a path pattern: it reports files, and searches nothing"
        )
    program = compile_rule(parse(rule.regex).root, default_model())
    title = f"rule {rule_id} of {loaded.name}"
    click.echo(draw_dot(program, title) if dot else draw_text(program, title, rule.regex), nl=False)
    return ExitCode.CLEAN


def _load(pack: str | None, skip_unsupported: bool) -> RulePack:
    from vyre_dist.rules import RulePack

    return RulePack.load(pack, skip_unsupported=skip_unsupported) if pack else RulePack.builtin()


def _tell_of_left_out(pack: RulePack) -> None:
    from vyre_dist.runs.pack_messages import pack_messages

    for message in pack_messages((), pack.left_out):
        click.echo(message, err=True)


def _print(report: Any, tables: str) -> None:
    width = f"{report.min_width}–{'∞' if report.max_width is None else report.max_width} bytes"
    click.echo(f"{'ok ' if report.ok else 'BAD'} {report.rule_id:44} {width:18} {report.route}")
    if tables:
        click.echo(f"      tables: {tables}")
    for problem in report.problems:
        click.echo(f"      problem: {problem}")
    for number in report.missed_examples:
        click.echo(f"      problem: example {number + 1} is not found")
    for number in report.matched_negatives:
        click.echo(f"      problem: negative example {number + 1} is found")
    for note in report.notes:
        click.echo(f"      note: {note}")
