"""The driver's tuning, in simulated scans: who tunes, what is published, and who runs it when."""

from __future__ import annotations

import pytest
from tuned_scans import LARGE, RUN_SECONDS, SERIAL, TASK_SECONDS, Board, BoardLink, Simulation

from vyre_dist.autotune.choice import DEFAULT_CHOICE
from vyre_dist.tuning.budget import SHARE

FASTER = {SERIAL: 0.6, LARGE: 1.1}
"""True ratios of which one wins soon."""

ENOUGH = 2000
"""Tasks in which that shows."""


def test_one_worker_tunes_and_all_others_run_its_winner_within_a_second() -> None:
    board = Board()
    simulation = Simulation(FASTER)
    scan = simulation.scan(BoardLink(board), 8, ENOUGH)
    simulation.run()
    assert len({worker for _, worker in scan.trials}) == 1
    (record,) = board.writes
    assert (record.choice, record.workload) == (SERIAL, "rare-small")
    assert record.gain is not None and record.gain.low <= 0.6 <= record.gain.high
    report = scan.tuning.report()
    (tuned,) = report.tuned
    assert (tuned.stage, tuned.source, tuned.choice) == ("decided", "measured", SERIAL)
    decided = tuned.decided_at - 1e9
    late = [at - decided for at, _, choice in scan.ran if choice != SERIAL and at > decided]
    assert late and max(late) <= 1.0
    assert tuned.workers == 8
    assert 0 < tuned.taken_seconds <= 1.0
    assert not board.leases


def test_the_second_scan_makes_no_trial() -> None:
    """It runs the winner from the second task of each worker on, and probes it."""
    board = Board()
    first = Simulation(FASTER)
    first.scan(BoardLink(board), 4, ENOUGH)
    first.run()
    simulation = Simulation(FASTER, seed=2)
    scan = simulation.scan(BoardLink(board), 4, ENOUGH)
    simulation.run()
    report = scan.tuning.report()
    assert (report.trials, report.hits, report.misses, report.published) == (0, 1, 0, 0)
    assert report.probes > 0
    assert sum(choice.is_default for _, _, choice in scan.ran) <= 2 * 4
    assert len(board.writes) == 1


def test_that_the_default_is_best_is_known_too() -> None:
    """It is published, and nobody tries the others again."""
    board = Board()
    first = Simulation({SERIAL: 1.3})
    first.scan(BoardLink(board), 4, ENOUGH)
    first.run()
    (record,) = board.records.values()
    assert record.choice.is_default and record.gain is not None
    again = Simulation({SERIAL: 1.3}, seed=2)
    scan = again.scan(BoardLink(board), 4, ENOUGH)
    again.run()
    assert (scan.trials, scan.link.asked) == ([], 0)


def test_of_two_drivers_one_tunes_and_the_other_takes() -> None:
    board = Board()
    simulation = Simulation(FASTER)
    scans = [simulation.scan(BoardLink(board), 4, ENOUGH) for _ in range(2)]
    simulation.run()
    tuner, other = sorted(scans, key=lambda scan: -len(scan.trials))
    assert tuner.tuning.report().published == 1
    report = other.tuning.report()
    assert (report.trials, report.taken, report.published) == (0, 1, 0)
    decided = tuner.tuning.report().tuned[0].decided_at - 1e9
    late = [at - decided for at, _, choice in other.ran if choice != SERIAL and at > decided]
    assert late and max(late) <= 1.0


def test_who_waits_for_a_tuner_that_has_died_tunes_in_the_end() -> None:
    """When the dead one's lease is over."""
    board = Board()
    simulation = Simulation(FASTER)
    scans = [simulation.scan(BoardLink(board), 4, 2 * ENOUGH) for _ in range(2)]
    while not board.leases:
        simulation.run(1.0)
    tuner = next(scan for scan in scans if board.leases.get(next(iter(board.leases))) is scan.link)
    simulation.scans.remove(tuner)
    board.leases.clear()
    simulation.run()
    assert [record.choice for record in board.writes] == [SERIAL]
    assert scans[1 - scans.index(tuner)].tuning.report().published == 1


@pytest.mark.parametrize("tasks", [1, 5, 30])
def test_a_short_scan_tries_nothing(tasks: int) -> None:
    """What is left of it could not win it back."""
    simulation = Simulation(FASTER)
    scan = simulation.scan(BoardLink(Board()), 2, tasks)
    simulation.run()
    assert (scan.trials, scan.link.asked, scan.tuning.report().seconds) == ([], 0, 0.0)


def test_trials_take_a_hundredth_of_the_time() -> None:
    """At any moment; what can't be decided in that is not."""
    simulation = Simulation({SERIAL: 0.97})
    scan = simulation.scan(BoardLink(Board()), 4, 1500)
    for _ in range(200):
        simulation.run(1.0)
        budget = scan.tuning.budget
        assert budget.spent <= SHARE * budget.worked + 4 * RUN_SECONDS
    assert budget.spent > 0.5 * SHARE * budget.worked


def test_what_finds_something_else_is_refused_and_told() -> None:
    """It never wins, however fast it is; a later scan does not try it for a day."""
    board = Board()
    simulation = Simulation({SERIAL: 0.5, LARGE: 0.8})
    simulation.wrong.add(SERIAL)
    scan = simulation.scan(BoardLink(board), 4, 2 * ENOUGH)
    simulation.run()
    assert board.failed[next(iter(board.failed))] == {SERIAL}
    assert [record.choice for record in board.records.values()] == [LARGE]
    assert scan.tuning.report().refused == 1
    (line,) = scan.said
    assert "lane=serial is not run" in line and "something else" in line
    board.records.clear()
    again = Simulation({SERIAL: 0.5, LARGE: 0.8}, seed=2)
    later = again.scan(BoardLink(board), 4, 2 * ENOUGH)
    again.run()
    assert later.tuning.report().refused == 0
    assert [record.choice for record in board.records.values()] == [LARGE]


def test_a_stored_choice_that_can_not_be_run_is_a_miss() -> None:
    """Workers run the default, and the choice is not given to them again."""
    board = Board()
    first = Simulation(FASTER)
    first.scan(BoardLink(board), 2, ENOUGH)
    first.run()
    simulation = Simulation(FASTER, seed=2)
    simulation.unfit.add(SERIAL)
    scan = simulation.scan(BoardLink(board), 2, 400)
    simulation.run()
    assert scan.tuning.report().refused == 1
    assert "can't be launched" in scan.said[0]
    assert all(choice.is_default for _, _, choice in scan.ran)


def test_what_has_drifted_is_tuned_anew() -> None:
    """The winner of another day is slower than the default now: the record gives way."""
    board = Board()
    first = Simulation(FASTER)
    first.scan(BoardLink(board), 4, ENOUGH)
    first.run()
    simulation = Simulation({SERIAL: 1.3, LARGE: 1.1}, seed=2)
    scan = simulation.scan(BoardLink(board), 4, 8 * ENOUGH)
    simulation.run()
    report = scan.tuning.report()
    assert report.drifted == 1
    assert "tuned anew" in scan.said[0]
    (record,) = board.records.values()
    assert record.choice.is_default


def test_probes_of_what_is_still_true_change_nothing() -> None:
    board = Board()
    first = Simulation(FASTER)
    first.scan(BoardLink(board), 4, ENOUGH)
    first.run()
    simulation = Simulation(FASTER, seed=2)
    scan = simulation.scan(BoardLink(board), 4, 8 * ENOUGH)
    simulation.run()
    report = scan.tuning.report()
    assert report.probes > 60
    assert (report.trials, report.drifted) == (0, 0)


def test_a_store_that_never_answers_holds_nothing_up() -> None:
    """Workers run the default."""
    simulation = Simulation(FASTER)
    scan = simulation.scan(BoardLink(Board(), silent=True), 4, ENOUGH)
    simulation.run()
    assert len(scan.ran) == ENOUGH
    assert all(choice.is_default for _, _, choice in scan.ran)
    assert scan.trials == []


def test_kinds_of_workers_are_tuned_each_by_itself() -> None:
    board = Board()
    simulation = Simulation(FASTER)
    for number in range(2):
        simulation.scan(BoardLink(board), 2, ENOUGH, number=number)
    simulation.run()
    assert {target.key.adapter_id for target in board.records} == {"device 0", "device 1"}


def test_classes_of_workloads_are_tuned_each_by_itself() -> None:
    """What won on data without hits is not run on data with some."""
    board = Board()
    simulation = Simulation(FASTER)
    scan = simulation.scan(BoardLink(board), 2, 6 * ENOUGH)
    simulation.run(ENOUGH * TASK_SECONDS / 2)
    simulation.matches, before = 100, simulation.now
    simulation.truth[SERIAL] = 1.5
    simulation.run()
    found = {target.workload: record.choice for target, record in board.records.items()}
    assert found == {"rare-small": SERIAL, "some-small": DEFAULT_CHOICE}
    later = [choice for at, _, choice in scan.ran if at > before + 3 * TASK_SECONDS]
    assert all(choice.is_default for choice in later)


def test_a_lost_worker_leaves_its_race_to_another() -> None:
    board = Board()
    simulation = Simulation(FASTER)
    scan = simulation.scan(BoardLink(board), 3, ENOUGH)
    while not scan.trials:
        simulation.run(1.0)
    (_, tuner) = scan.trials[0]
    scan.events = [each for each in scan.events if each[1] != tuner]
    del scan.queues[tuner]
    scan.tuning.lost(tuner)
    assert scan.tuning.budget.granted == 0
    scan.workers, scan.queues[tuner] = 3, []
    simulation.run()
    assert {worker for _, worker in scan.trials} != {tuner}
    assert [record.choice for record in board.writes] == [SERIAL]
