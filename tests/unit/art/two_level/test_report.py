"""Phases are told from begin to end, once a step, and nobody need listen."""

from __future__ import annotations

from csrms_dist.art.two_level.report import Report


def test_steps_are_told_and_a_phase_ends_with_all_of_them():
    told, after = [], []
    report = Report(lambda *event: told.append(event), after.append)
    with report.phase("learn", 3):
        report.step(0)
        report.step(1)
    with report.phase("merge"):
        report.step()
        report.step()  # more than there are
    assert told == [
        ("learn", 0, 3),
        ("learn", 1, 3),
        ("learn", 2, 3),
        ("learn", 3, 3),
        ("merge", 0, 1),
        ("merge", 1, 1),
    ]
    assert after == ["learn", "merge"]


def test_steps_outside_of_a_phase_are_not_told():
    told = []
    report = Report(lambda *event: told.append(event))
    report.step()
    with report.phase("learn"):
        pass
    report.step()
    assert told == [("learn", 0, 1), ("learn", 1, 1)]


def test_nobody_need_listen():
    report = Report()
    with report.phase("learn", 2):
        report.step()
