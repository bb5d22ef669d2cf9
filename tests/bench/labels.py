"""Late labels: judging outcomes by label arrival, as the loop does, against judging by mature batches.

`make bench-labels` writes the section of docs/judgement.md; `QUICK=1` looks at one stream and holds the loop's judge to
saying it no later than the rival.
"""

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from include.features.labelled import standing_claim
from include.judging.champion import predict_labelled, read_losses
from include.judging.losses import row_losses
from tests.bench.judges import Said, compare_judges
from tests.bench.late import BOOKINGS, CELLS, drive_hotel, drive_stream, seeded
from tests.bench.lateness import Lived, describe
from tests.bench.page import QUICK, write_section

SEEDS = (1, 2, 3)
# Of these one seed also goes through the whole loop, which retrains.
LIVED = (1, 2, 5, 6)
HOTEL_LAST = "2017-03-22"
# Batches between two looks at a split.
EVERY = 3
Job = tuple[str, int, int]


def judge_cell(number: int, seed: int) -> dict[str, Said]:
    """Both judges on one stream, under a champion that stays."""
    with tempfile.TemporaryDirectory() as folder:
        stream = seeded(CELLS[number], seed)
        return compare_judges(drive_stream(Path(folder), stream, "never"), stream.changed - 1, EVERY)


def judge_hotel() -> dict[str, Said]:
    """Both judges on the bookings; no change is known there."""
    with tempfile.TemporaryDirectory() as folder:
        return compare_judges(drive_hotel(Path(folder), HOTEL_LAST), None, EVERY)


def live_cell(number: int, seed: int) -> Lived:
    """One stream through the whole loop."""
    with tempfile.TemporaryDirectory() as folder:
        stream = seeded(CELLS[number], seed)
        drive, changed = drive_stream(Path(folder), stream, None), stream.changed - 1
        config, calendar, labelled = drive.model.config, drive.model.config.calendar, drive.label_all()
        assert config.labels != "none"
        span = [calendar.name(i) for i in range(changed, drive.batches)]
        made = read_losses(config, drive.stores, [standing_claim(drive.stores, b) for b in span], labelled.rows)
        first, *_ = drive.promotions
        later = [one for one in drive.promotions if calendar.index(one.as_of) >= changed]
        old = predict_labelled(config, drive.stores, first, labelled)
        losses = row_losses(config.gate.metric, labelled.rows[config.labels.column].to_numpy(), old)
        never = losses[labelled.rows["batch"].isin(span).to_numpy()].mean()
        serves = calendar.index(later[0].effective_from) - changed if later else None
        return Lived(float(made["loss"].mean()), float(never), len(later), serves)


def work(job: Job) -> dict[str, Said] | Lived:
    """One job, in a process of its own."""
    kind, number, seed = job
    if kind == "hotel":
        return judge_hotel()
    return judge_cell(number, seed) if kind == "judge" else live_cell(number, seed)


def all_jobs() -> list[Job]:
    """The whole bench, the long jobs first."""
    jobs: list[Job] = [("hotel", 0, 1)] if BOOKINGS.exists() else []
    order = sorted(range(len(CELLS)), key=lambda number: -CELLS[number].stream.batches)
    return [*jobs, *(("judge", number, seed) for seed in SEEDS for number in order), *(("live", n, 1) for n in LIVED)]


def main() -> int:
    """Run it all, or in short one stream, and say what came out."""
    jobs: list[Job] = [("judge", 1, 1)] if QUICK else all_jobs()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        done = dict(zip(jobs, pool.map(work, jobs), strict=True))
    judged = {job: one for job, one in done.items() if isinstance(one, dict)}
    if QUICK:
        arrival, batch = (judged[jobs[0]][way].decided for way in ("arrival", "batch"))
        held = arrival is not None and (batch is None or arrival <= batch)
        print(f"labels {CELLS[1].name}: by arrival bad {arrival} batches after the change, limit {batch} by batch")
        return 0 if held else 1
    cells = {cell.name: [judged["judge", n, seed] for seed in SEEDS] for n, cell in enumerate(CELLS)}
    hotel = judged.get(("hotel", 0, 1))
    lived = {CELLS[job[1]].name: one for job, one in done.items() if isinstance(one, Lived)}
    write_section("labels", describe(cells, hotel, lived))
    return 0


if __name__ == "__main__":
    sys.exit(main())
