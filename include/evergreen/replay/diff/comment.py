"""What a comparison of two replays says, as Markdown for a pull request's comment."""

from collections.abc import Iterator

import numpy as np

from evergreen.foreign_text import for_markdown
from evergreen.losses import METRICS
from evergreen.records import Judgement
from evergreen.replay.diff.comparison import CONFIDENCE, Comparison
from evergreen.replay.history import History

# More values than this make no comment; the rest are counted.
_SLICES = 8


def describe_comparison(comparison: Comparison) -> str:
    """The verdict with its interval, what both replays did, and where their reports are, as Markdown."""
    parts = [_headline(comparison), "\n".join(_table(comparison)), "\n".join(_facts(comparison))]
    if comparison.judgement is not None and comparison.judgement.slices:
        parts.insert(2, "\n".join(_slices(comparison.judgement)))
    return "\n\n".join(parts) + "\n"


def describe_newcomer(model_id: str, path: str, base: str) -> str:
    """What is said of a model that the base does not have."""
    where = f"{for_markdown(path)} at {for_markdown(base)}"
    return f"**{model_id}: new.** There is no model folder {where}: nothing to compare.\n"


def _headline(comparison: Comparison) -> str:
    model, judgement, interval = comparison.change.model, comparison.judgement, comparison.interval
    if judgement is None or interval is None:
        return f"**{model}: {comparison.outcome}.** {for_markdown(comparison.why.capitalize())}."
    effect, metric = comparison.gate.min_effect, judgement.metric
    numbers = f"{metric} {judgement.challenger:.4g} instead of {judgement.champion:.4g}"
    if interval.lower == interval.upper == 0:
        return f"**{model}: equal.** {numbers}: the losses are the same, row by row."
    of = " in squared error" if METRICS[comparison.change.metric].is_root else ""
    text = f"{numbers}: {_signed(interval.mean)}{of}, {_ends(interval.lower, interval.upper)}"
    if comparison.why:
        return f"**{model}: worse in a slice.** {for_markdown(comparison.why)}. Over all: {text}."
    if comparison.outcome != "equal":
        return f"**{model}: {comparison.outcome}.** {text}."
    if -effect <= interval.lower and interval.upper <= effect:
        return f"**{model}: equal.** {text}: within the minimum effect of {effect:.1%}."
    if interval.lower > 0 or interval.upper < 0:
        return f"**{model}: equal.** {text}: beyond noise, and on average below the minimum effect of {effect:.1%}."
    worst = f"up to {_signed(interval.lower)}" if interval.lower < 0 else "no difference"
    return (
        f"**{model}: equal, as far as {len(comparison.batches)} batches tell.** {text}: "
        f"{worst if np.isfinite(interval.lower) else 'anything'} remains possible. An earlier `--from` tells more."
    )


def _ends(lower: float, upper: float) -> str:
    if not np.isfinite(lower):
        return "and one batch alone gives no interval"
    sure = f"{CONFIDENCE:.0%} interval"
    if lower * upper > 0:
        least, most = sorted((abs(lower), abs(upper)))
        return f"{sure} {least:.1%} to {_signed(most if lower > 0 else -most)}"
    return f"{sure} {_signed(lower)} to {_signed(upper)}"


def _table(comparison: Comparison) -> Iterator[str]:
    base, change = comparison.base, comparison.change
    paired = comparison.judgement.rows if comparison.judgement else 0
    yield f"| | {' | '.join(map(for_markdown, comparison.names))} |"
    yield "|---|---|---|"
    if comparison.judgement is not None:
        judged = comparison.judgement
        yield f"| {judged.metric} on the same rows | {judged.champion:.4g} | {judged.challenger:.4g} |"
    scored = [sum(one.labelled for one in history.batches) for history in (base, change)]
    yield _row("rows scored, with a known label", *scored)
    yield _row("of these by this one alone, not judged", *(count - paired for count in scored))
    yield _row("batches rejected", *(_rejected(history) for history in (base, change)))
    yield _row("rows in quarantine", *(sum(one.rows.quarantined for one in h.batches) for h in (base, change)))
    yield _row("challengers trained", len(base.attempts), len(change.attempts))
    yield _row("promotions", len(base.promotions), len(change.promotions))


def _slices(judgement: Judgement) -> Iterator[str]:
    """The slices that lost most, those beyond their limit first."""
    ranked = sorted(judgement.slices, key=lambda one: (one.passed, -one.worse_by))
    shown = max(_SLICES, sum(not one.passed for one in ranked))
    yield f"| slice | rows | {judgement.metric} before | now | |"
    yield "|---|---|---|---|---|"
    for one in ranked[:shown]:
        beyond = "" if one.passed else ": beyond its limit"
        yield (
            f"| {for_markdown(f'{one.column}={one.value}')} | {one.rows:,} | {one.champion:.4g} | {one.challenger:.4g} "
            f"| {_signed(-one.worse_by)}{beyond} |"
        )
    if len(ranked) > shown:
        yield f"| {len(ranked) - shown} more | | | | none beyond its limit |"


def _facts(comparison: Comparison) -> Iterator[str]:
    span = [one.batch for one in comparison.change.batches]
    yield f"- changed: {', '.join(map(for_markdown, comparison.changed)) or 'nothing that a replay sees'}"
    yield f"- replayed: {len(span)} batches, {span[0]} to {span[-1]}, the same files, labels as they became known"
    judged, batches = comparison.judgement, comparison.batches
    if judged is not None:
        yield (
            f"- compared: {judged.rows:,} rows of {len(batches)} batches, {batches[0]} to {batches[-1]}, paired, in "
            f"{judged.blocks} blocks of consecutive batches"
        )
    if comparison.base.metric != comparison.change.metric:
        yield f"- gate.metric was {comparison.base.metric}; both are measured by {comparison.change.metric}"
    yield f"- reports: {', '.join(for_markdown(str(report)) for report in comparison.reports)}"


def _rejected(history: History) -> int:
    return sum(one.rows.state == "rejected" for one in history.batches)


def _row(name: str, base: int, change: int) -> str:
    return f"| {name} | {base:,} | {change:,} |"


def _signed(share: float) -> str:
    """A share as what it means: 0.052 as ``5.2% better``."""
    text = f"{abs(share):.1%}"
    return text if text == "0.0%" else f"{text} {'better' if share > 0 else 'worse'}"
