"""`vyre-dist rules`: look at a pack, and check it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import click

from vyre_dist.cli.exit_codes import ExitCode


@click.group()
def rules() -> None:
    """Look at rule packs and check them."""


@rules.command("list", short_help="List the rules of a pack.")
@click.argument("pack", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_rules(pack: str | None, as_json: bool) -> int:
    """List the rules of PACK (a file, a folder, a built-in pack's name; default: everything built in)."""
    from vyre_dist.rules import RulePack

    loaded = RulePack.load(pack) if pack else RulePack.builtin()
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
@click.option("--quiet", "-q", is_flag=True, help="Only what is wrong.")
def check(pack: str | None, as_json: bool, quiet: bool) -> int:
    """Check PACK: syntax, what its libraries make of each rule, and whether its examples match.

    Every problem is printed, with its file, line or rule. Exit code 0: fit for use; 2: not.
    """
    from vyre_dist.kernels.routes import rule_routes
    from vyre_dist.program import RulesRefusedError, compile_pack
    from vyre_dist.rules import RulePack, check_pack

    loaded = RulePack.load(pack) if pack else RulePack.builtin()
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    routes: dict[int, str] = {}
    refused: dict[str, str] = {}
    try:
        routes = rule_routes(compile_pack(loaded.data))
    except RulesRefusedError as error:
        refused = dict(error.refused)
    reports = check_pack(loaded, route=lambda index, _rule, _regex: routes.get(index, ""))
    # what google-re2 refuses, check_pack has found for itself
    reports = [
        replace(r, problems=(refused[r.rule_id],)) if r.rule_id in refused and not r.problems else r
        for r in reports
    ]
    bad = 0
    for report in reports:
        bad += not report.ok
        if as_json:
            click.echo(json.dumps({**asdict(report), "ok": report.ok}))
        elif not report.ok or not quiet:
            _print(report)
    if not as_json:
        fit = "fit for use" if not bad else f"{bad} not fit for use"
        click.echo(f"{loaded.name}: {len(reports)} rules, {fit}")
    return ExitCode.USAGE if bad else ExitCode.CLEAN


def _print(report: Any) -> None:
    width = f"{report.min_width}–{'∞' if report.max_width is None else report.max_width} bytes"
    click.echo(f"{'ok ' if report.ok else 'BAD'} {report.rule_id:44} {width:18} {report.route}")
    for problem in report.problems:
        click.echo(f"      problem: {problem}")
    for number in report.missed_examples:
        click.echo(f"      problem: example {number + 1} is not found")
    for number in report.matched_negatives:
        click.echo(f"      problem: negative example {number + 1} is found")
    for note in report.notes:
        click.echo(f"      note: {note}")
