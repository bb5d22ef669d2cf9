"""The summary in the terminal."""

from collections import Counter

from rich.table import Table
from rich.text import Text

from evergreen.foreign_text import one_line
from evergreen.records import AttemptRecord, PromotionRecord
from evergreen.replay.history import BatchHistory, History
from evergreen.terminal import console


def print_summary(history: History) -> None:
    """Say what happened: batches, rows, verdicts, attempts, and the live model's error before and after."""
    batches = history.batches
    rejected = [one for one in batches if one.rows.state == "rejected"]
    missing = [one for one in batches if one.rows.state == "missing"]
    facts = Table(show_header=False, box=None, padding=(0, 2))
    span = f" ({batches[0].batch} to {batches[-1].batch})" if batches else ""
    facts.add_row("batches", f"{len(batches)}{span}, {len(rejected)} rejected, {len(missing)} missing")
    facts.add_row(
        "rows",
        f"{_total(batches, 'rows_in'):,} in = {_total(batches, 'clean'):,} clean "
        f"+ {_total(batches, 'quarantined'):,} quarantined",
    )
    for one in rejected:
        reasons = "; ".join(f"{r.column or r.file or 'batch'}: {r.found}" for r in one.rows.reasons[:2])
        facts.add_row("  rejected", one_line(f"{one.batch}: {reasons}"))
    asked = [one.verdict for one in batches if one.verdict is not None and one.verdict.action == "retrain"]
    warned = [one.batch for one in batches if one.verdict is not None and one.verdict.inputs.state == "warn"]
    checked = sum(one.verdict is not None for one in batches)
    counts = Counter(reason for verdict in asked for reason in verdict.reasons)
    texts = ", ".join(f"{reason} {count}" for reason, count in counts.items())
    facts.add_row("verdicts", f"{checked}, of which {len(asked)} asked for a retraining{f': {texts}' if texts else ''}")
    if warned:
        facts.add_row("  warned", f"inputs drifted at {', '.join(warned[:6])}{' …' if len(warned) > 6 else ''}")
    _add_attempts(facts, history)
    _add_promotions(facts, history)
    facts.add_row(history.metric, f"{_number(history.overall)} over all scored rows with a known label")
    open_end = Text.assemble(("did not close", "bold"), ": no champion was replaced")
    facts.add_row("loop", "closed" if history.closed else open_end)
    console.print(facts)


def _add_attempts(facts: Table, history: History) -> None:
    outcomes = Counter(attempt.outcome for attempt in history.attempts)
    counted = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()) or "none"
    renewed = sum(attempt.refresh and attempt.outcome == "passed" for attempt in history.attempts)
    facts.add_row("attempts", f"{counted}{f'; {renewed} of them refreshes' if renewed else ''}")
    for attempt in history.attempts:
        # That a challenger is not better is routine, and so is a refresh. What passed, waits for somebody or has to be
        # mended is told.
        if not attempt.refresh and (attempt.outcome != "refused" or attempt.judgement is None):
            facts.add_row(f"  {attempt.outcome}", one_line(_tell(attempt)))


def _add_promotions(facts: Table, history: History) -> None:
    judged, refreshed = history.judged_versions, Counter(history.judged_versions.values())
    for promotion in history.promotions:
        if judged[promotion.version] != promotion.version:
            continue
        before, after = _around(history, promotion)
        refreshes = refreshed[promotion.version] - 1
        text = f", {refreshes} refreshes" if refreshes else ""
        facts.add_row(
            f"version {promotion.version}",
            f"serves from {promotion.effective_from}{text}; {history.metric} of the live model in the 3 scored batches "
            f"before {_number(before)}, since then {_number(after)}",
        )


def _tell(attempt: AttemptRecord) -> str:
    judgement = attempt.judgement
    numbers = ""
    if judgement is not None:
        numbers = f" ({judgement.against}: {judgement.champion:.4g}, challenger: {judgement.challenger:.4g})"
    return f"{attempt.as_of}: {attempt.why}{numbers}"


def _total(batches: tuple[BatchHistory, ...], field: str) -> int:
    return sum(getattr(one.rows, field) for one in batches)


def _around(history: History, promotion: PromotionRecord) -> tuple[float | None, float | None]:
    """Mean error of the last batches before a promotion took effect, and of those that it and its refreshes scored."""
    scored = [one for one in history.batches if one.error is not None and one.claim is not None]
    before = [one.error for one in scored if one.batch < promotion.effective_from and one.error is not None][-3:]
    own = {version for version, judged in history.judged_versions.items() if judged == promotion.version}
    after = [one.error for one in scored if one.claim and one.claim.version in own and one.error is not None]
    return _mean(before), _mean(after)


def _mean(errors: list[float]) -> float | None:
    return sum(errors) / len(errors) if errors else None


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
