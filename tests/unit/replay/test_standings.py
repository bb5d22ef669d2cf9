"""Policies beside each other, in numbers counted by hand."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from evergreen.config.locations import Locations
from evergreen.records import AttemptRecord, BatchRecord, PromotionRecord
from evergreen.replay.contenders import Contender
from evergreen.replay.history import BatchHistory, History
from evergreen.replay.standings import print_standings, rank_contenders, write_standings

DAYS = [f"2024-01-{day:02}" for day in range(1, 7)]


def attempt(day, outcome):
    return AttemptRecord(
        as_of=day, verdict=f"{day}.0", trained_on=(DAYS[0], day), training_rows=10, data="d", code="c",
        holdout=(day,), against=0, judgement=None, outcome=outcome, why="",
    )  # fmt: skip


def promotion(day, number):
    return PromotionRecord(
        as_of=day, number=number, version=number, attempt=f"{day}.0", code="c", data="d", trained_on=(DAYS[0], day),
        effective_from=day, error=1.0,
    )  # fmt: skip


def contender(tmp_path, policy, errors, metric="mae", retrained=()):
    """A replay in which the first day bootstraps, and attempts on some later days pass."""
    batches = []
    for day, error in zip(DAYS, errors, strict=True):
        made = (attempt(day, "passed"),) if day in (DAYS[0], *retrained) else ()
        number = 1 + [DAYS[0], *retrained].index(day) if made else 0
        batches.append(
            BatchHistory(
                batch=day, rows=BatchRecord(as_of=day, feed="rows", revision=0, state="published", clean=10),
                labels=None, claim=None, verdict=None, attempts=made, closings=(),
                promotions=(promotion(day, number),) if made else (), error=error, labelled=10,
            )
        )  # fmt: skip
    history = History("taxi", "Taxi", metric, tuple(batches), (), None)
    return Contender(policy, Locations.under(tmp_path / policy), history, 2.0)


def test_errors_and_retrainings_are_counted_after_the_first_version(tmp_path):
    never = contender(tmp_path, "never", [None, 2.0, 2.0, 2.0, 4.0, 5.0])
    every = contender(tmp_path, "every:2", [None, 2.0, 2.0, 2.0, 2.0, 1.0], retrained=(DAYS[2], DAYS[4]))
    first, second = rank_contenders([never, every])
    assert (first.error, first.worst, first.trainings, first.promotions) == (3.0, 3.25, 0, 0)
    assert (second.error, second.worst, second.trainings, second.promotions) == (1.8, 2.0, 2, 2)


def test_only_what_all_have_scored_counts(tmp_path):
    never = contender(tmp_path, "never", [None, 2.0, 2.0, None, 4.0, None])
    decay = contender(tmp_path, "decay", [None, 1.0, None, 1.0, 1.0, 1.0])
    assert [list(one.losses) for one in rank_contenders([never, decay])] == [[DAYS[1], DAYS[4]]] * 2


def test_where_nothing_was_scored_by_all_the_table_says_so_without_numbers(tmp_path):
    never = contender(tmp_path, "never", [None, 2.0, None, None, None, None])
    decay = contender(tmp_path, "decay", [None, None, 1.0, 1.0, None, None])
    told = io.StringIO()
    standings = rank_contenders([never, decay])
    print_standings(standings, "mae", Console(file=told, width=200))
    assert told.getvalue().count(" - ") == 4
    assert "nan" not in told.getvalue()
    assert "No batch with known labels was scored by all of them: replay more batches." in told.getvalue()
    write_standings([never, decay], standings, tmp_path / "report.html")
    assert "no batch with known labels was scored by all of them" in (tmp_path / "report.html").read_text()


def test_a_root_is_taken_of_the_mean_of_squares(tmp_path):
    never = contender(tmp_path, "never", [None, 1.0, 7.0, 1.0, 7.0, 5.0], metric="rmse")
    (one,) = rank_contenders([never])
    assert one.error == pytest.approx(np.sqrt((1 + 49 + 1 + 49 + 25) / 5))


def test_the_page_escapes_and_loads_nothing(tmp_path):
    never = contender(tmp_path, "never", [None, 2.0, 2.0, 2.0, 4.0, 5.0])
    never = replace(never, history=replace(never.history, title="<script>alert(1)</script>"))
    standings = rank_contenders([never])
    write_standings([never], standings, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<script>alert(1)</script>" not in page
    assert "default-src 'none'" in page
    assert 'href="never/report.html"' in page
    assert (tmp_path / "report.csv").read_text().splitlines()[1].startswith("never,3,3.25,0,0,0,2")
    out = io.StringIO()
    print_standings(standings, "mae", Console(file=out, width=200))
    assert "never" in out.getvalue()
