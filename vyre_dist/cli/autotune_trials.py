"""`vyre-dist autotune tune` and `verify`: measure on real files, in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from vyre_dist.cli import log
from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.cli.rule_options import SKIP_UNSUPPORTED
from vyre_dist.cli.store_option import STORE

if TYPE_CHECKING:
    from vyre_dist.runs.ahead import AheadOfTime, Sample, TunedAhead
    from vyre_dist.runs.tuned_store import Kept
    from vyre_dist.runs.verified import Verified

_MOST_PROBLEMS = 5
ON = click.option(
    "--on",
    "paths",
    multiple=True,
    type=click.Path(readable=False),
    metavar="PATH",
    help="Measure on these files, or what is in these folders: such as will be scanned. May be "
    "given several times. Default: the current folder.",
)
BACKEND = click.option(
    "--backend",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="What is tuned. auto: cpu, and cuda where this machine has a GPU.",
)
CACHE = click.option(
    "--cache-dir",
    type=click.Path(file_okay=False),
    help="Keep compiled rules here. Default: the user's cache directory.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.command(short_help="Find out ahead of time what is fastest.")
@click.argument("packs", metavar="[PACK]...", nargs=-1)
@ON
@BACKEND
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Draw the races into FILE (.svg): each choice's ratio, with its interval, over its pairs.",
)
@JSON
@SKIP_UNSUPPORTED
@CACHE
@STORE
def tune(
    packs: tuple[str, ...],
    paths: tuple[str, ...],
    backend: str,
    plot: str | None,
    as_json: bool,
    skip_unsupported: bool,
    cache_dir: str | None,
    store: str | None,
) -> int:
    """Find out what is fastest for PACK on files such as those below PATH, and store it: each scan
    of such files on such a machine begins with it.

    PACK is what scan's --rules takes; several are one scan's. Default: everything built in.

    Each choice runs on the same bytes as the default, as often as it takes to tell them apart, and
    at least 5 times. It has to be 2 % faster to win. Files are sorted into classes, by the density
    of matches and their size; each class has a race of its own.

    Exit codes: 0 all is measured and stored, 2 bad usage or rules, 3 some files could not be read,
    or a result could not be stored.
    """
    from vyre_dist.cli.autotune_plot import require_svg
    from vyre_dist.driver.worker_facts import facts_of
    from vyre_dist.program.packs import pack_name
    from vyre_dist.runs.tuned_store import Turn, open_to_write

    if plot is not None:
        require_svg(plot)
    races: list[TunedAhead] = []
    incomplete = False
    opened, why_elsewhere = open_to_write(store)
    if why_elsewhere:
        log.say(why_elsewhere)
    try:
        for name in _backends(backend):
            ahead, sample = _measuring(packs, paths, name, skip_unsupported, cache_dir)
            versions = dict(facts_of(name).versions)
            for each in ahead.classes:
                with Turn(opened, ahead.programs, each.workload) as turn:
                    tuned = ahead.tuned(each, turn.go_on)
                    kept = turn.keep(tuned, pack_name(packs), versions)
                races.append(tuned)
                incomplete |= kept.record is not None and not kept.stored and bool(opened.trouble)
                _print_race(name, tuned, kept, as_json=as_json)
            incomplete |= _told_of_problems(ahead, sample)
        trouble = opened.trouble
    finally:
        opened.close()
    if plot is not None:
        from vyre_dist.cli.autotune_plot import write_plot

        write_plot(plot, races)
        click.echo(f"the races are drawn in {plot}", err=True)
    if trouble or opened.trouble:
        log.say(trouble or opened.trouble)
        incomplete = True
    return ExitCode.INCOMPLETE if incomplete else ExitCode.CLEAN


@click.command(short_help="Measure again what is stored.")
@click.argument("packs", metavar="[PACK]...", nargs=-1)
@ON
@BACKEND
@JSON
@SKIP_UNSUPPORTED
@CACHE
@STORE
def verify(
    packs: tuple[str, ...],
    paths: tuple[str, ...],
    backend: str,
    as_json: bool,
    skip_unsupported: bool,
    cache_dir: str | None,
    store: str | None,
) -> int:
    """Measure what is stored for PACK and this machine against the default again, on the files
    below PATH, and print the regret: how much longer a scan takes with it than with the better one.

    PACK is what scan's --rules takes. Default: all packs that the store has records of for this
    machine, by the names that they were tuned under. A store is not changed, and not made.

    Exit codes: 0 all that is stored holds, 1 something does not, 2 bad usage or rules, 3 something
    could not be measured, or the store could not be read.
    """
    from vyre_dist.program.packs import BUILT_IN, pack_name, pack_names
    from vyre_dist.runs.tuned_store import open_to_read, trouble_of
    from vyre_dist.runs.verified import verified

    opened, there = open_to_read(store)
    try:
        records = [
            each for each in opened.items() if each.gain is not None and not each.failed_until
        ]
        trouble = trouble_of(opened)
    finally:
        opened.close()
    if not there:
        log.say("there is no autotune store yet: a scan or `vyre-dist autotune tune` makes one")
    names = {each.provenance.pack for each in records}
    asked = [packs] if packs else [pack_names(each) for each in sorted(names - {""})]
    results: list[Verified] = []
    incomplete = bool(trouble)
    for names_of_pack in asked if records else ():
        for name in _backends(backend):
            ahead, sample = _measuring(names_of_pack, paths, name, skip_unsupported, cache_dir)
            incomplete |= _told_of_problems(ahead, sample)
            for each in verified(ahead, records):
                results.append(each)
                _print_verified(name, pack_name(names_of_pack), each, as_json=as_json)
    if trouble:
        log.say(trouble)
    if not results:
        which = pack_name(packs) if packs else "any pack"
        hint = "" if packs or not names & {""} else f" (name a PACK, or leave it to {BUILT_IN})"
        log.say(f"nothing to verify: the store has no winner of {which} for this machine{hint}")
    incomplete |= any(each.problem for each in results)
    if incomplete:
        return ExitCode.INCOMPLETE
    return ExitCode.CLEAN if all(each.holds for each in results) else ExitCode.FINDINGS


def _backends(asked: str) -> list[str]:
    """Raises UsageError for cuda where there is no GPU."""
    from vyre_dist.errors import UsageError
    from vyre_dist.kernels import require_backend
    from vyre_dist.kernels.backends import has_cupy

    if asked != "auto":
        require_backend(asked)
        return [asked]
    if not has_cupy():
        return ["cpu"]
    try:
        require_backend("cuda")
    except UsageError:
        return ["cpu"]
    return ["cpu", "cuda"]


def _measuring(
    packs: tuple[str, ...],
    paths: tuple[str, ...],
    backend: str,
    skip_unsupported: bool,
    cache_dir: str | None,
) -> tuple[AheadOfTime, Sample]:
    from vyre_dist.cache_folder import choose
    from vyre_dist.program import ArtifactCache
    from vyre_dist.program.packs import load_pack, load_supported
    from vyre_dist.runs.ahead import AheadOfTime, Sample
    from vyre_dist.runs.pack_messages import pack_messages

    folder = choose(cache_dir)
    cache = ArtifactCache(folder.wanted or folder.path)
    if skip_unsupported:
        loaded = load_supported(packs, cache)
        for message in pack_messages((), loaded.left_out):
            log.say(message)
        pack = loaded.data
    else:
        pack, _ = load_pack(packs, cache)
    sample = Sample.of(paths or (".",), backend)
    if sample.bytes < sample.there:
        log.say(f"measuring on {_mib(sample.bytes)} of {_mib(sample.there)}, evenly spread")
    return AheadOfTime(pack, backend, sample, cache), sample


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.{0 if size >= 10 << 20 else 2}f} MiB"


def _told_of_problems(ahead: AheadOfTime, sample: Sample) -> bool:
    """Whether some inputs could not be read; they are named."""
    from vyre_dist.sinks.text import visible

    told = [f"{each.path}: {each.detail or each.reason}" for each in sample.problems]
    told += [f"{ahead.path_of(number)}: {each.detail}" for number, each in ahead.problems.items()]
    for line in told[:_MOST_PROBLEMS]:
        log.say(f"not measured on: {visible(line)}")
    if len(told) > _MOST_PROBLEMS:
        log.say(f"nor on {len(told) - _MOST_PROBLEMS} more files")
    return bool(told)


def _print_race(backend: str, tuned: TunedAhead, kept: Kept, *, as_json: bool) -> None:
    from vyre_dist.cli.autotune_table import choice_text, plain_gain, ratio_text, table

    race, each = tuned.race, tuned.workload
    winner = race.winner
    if as_json:
        plain: dict[str, Any] = {
            "backend": backend,
            "workload": each.workload,
            "documents": each.documents,
            "bytes": each.bytes,
            "choice": winner.plain(),
            **plain_gain(race.gain),
            "stored": kept.stored,
            "why": kept.why or None,
            "compared": [
                {
                    "choice": choice.plain(),
                    "ratio": compared.ratio,
                    "low": compared.interval[0],
                    "high": compared.interval[1],
                    "pairs": compared.pairs,
                    "verdict": _verdict(tuned, choice),
                }
                for choice, compared in race.compared.items()
            ],
        }
        click.echo(json.dumps(plain))
        return
    click.echo(f"{backend}, {each.workload}: {each.documents} documents, {_mib(each.bytes)}")
    rows = [("CHOICE", "RATIO", "PAIRS", "VERDICT"), ("default", "1", "-", _verdict(tuned, None))]
    rows += [
        (
            choice_text(choice),
            ratio_text(compared.ratio, *compared.interval) if compared.pairs else "-",
            str(compared.pairs),
            _verdict(tuned, choice),
        )
        for choice, compared in race.compared.items()
    ]
    for line in table(rows):
        click.echo(f"  {line}")
    if kept.record is None or not kept.stored:
        click.echo(f"  not stored: {kept.why}")


def _verdict(tuned: TunedAhead, choice: Any) -> str:
    """`choice`: None for the default."""
    from vyre_dist.tuning.comparison import Verdict

    race = tuned.race
    if choice is None:
        return "best" if race.winner.is_default else "beaten"
    if choice in race.refused:
        return f"refused: {race.refused[choice]}"
    if choice == race.winner:
        return "best"
    return {
        Verdict.WON: "faster, not the fastest",
        Verdict.LOST: "not worth a change",
        Verdict.OPEN: "left the race behind others",
    }[race.compared[choice].verdict]


def _print_verified(backend: str, pack: str, each: Verified, *, as_json: bool) -> None:
    from vyre_dist.cli.autotune_table import choice_text, plain_gain, ratio_text
    from vyre_dist.sinks.text import visible

    record = each.record
    if as_json:
        plain: dict[str, Any] = {
            "backend": backend,
            "pack": pack,
            "key": record.key.key_hex,
            "workload": record.workload,
            "choice": record.choice.plain(),
            "stored": plain_gain(record.gain),
            "against": each.against.plain(),
            "ratio": each.ratio,
            "low": each.low,
            "high": each.high,
            "pairs": each.pairs,
            "regret": each.regret,
            "holds": each.holds,
            "problem": each.problem or None,
        }
        click.echo(json.dumps(plain))
        return
    title = f"{backend}, {pack}, {record.workload}: {choice_text(record.choice)}"
    if each.problem:
        click.echo(visible(f"{title}: not measured: {each.problem}"))
        return
    measured = ratio_text(each.ratio, each.low, each.high)
    click.echo(
        visible(
            f"{title}: {measured} of {each.pairs} pairs against {choice_text(each.against)}, "
            f"stored: {record.gain}; regret {each.regret:.1%}; "
            f"{'holds' if each.holds else 'does not hold'}"
        )
    )
