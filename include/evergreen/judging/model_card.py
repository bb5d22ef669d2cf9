"""A version's card: what it is for, what it learnt from, how it was judged, and what it is not good for.

The sections are those of Mitchell and others, Model Cards for Model Reporting, FAT* 2019. All of it is on record or in
the packed model, so that the same version has the same card whenever it is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from skops.card import Card

from evergreen.config.contract import ModelConfig
from evergreen.features.explanation import Explanation, read_explanation
from evergreen.features.version_tags import BASELINE_TAG, estimator_params, fitted_span
from evergreen.foreign_text import for_markdown
from evergreen.records import ApprovalRecord, AttemptRecord, FairnessReport, Judgement
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.revisions import sealed_batches
from evergreen.storage.stores import Stores


def write_card(
    config: ModelConfig, stores: Stores, attempt: AttemptRecord, version: int, run: str, packed: PackedModel
) -> str:
    """The card of a version, in Markdown.

    :param attempt: that it was registered for.
    :param run: MLflow's run that fitted it.
    :param packed: the version.
    """
    spec, logged = packed.spec, stores.models.run_data(run)
    tags, counts = logged.tags, logged.metrics
    card = Card(packed.estimator, model_diagram=False, template=None)
    what = f"{for_markdown(config.title)}: version {version} of {for_markdown(stores.models.name)}"
    target = ", ".join(map(for_markdown, spec.target)) or "no label"
    card.add(
        **{
            "Model card": f"{what}, made at batch {attempt.as_of}: {spec.task}, {target}.\n\n"
            f"Owner: {for_markdown(config.owner)}",
            "Model card/Intended use": config.intended_use
            or config.description
            or "config.yaml does not say (`intended_use`).",
            "Model card/Limitations": _list(_limitations(config, attempt, BASELINE_TAG in tags)),
        }
    )
    _add_table(card, "Data", ("", "what it learnt from"), _data(config, stores, attempt, tags, counts))
    _add_table(card, "Data/Columns", ("column", "type"), [(name, one.type) for name, one in spec.columns.items()])
    card.add(**{"Model card/Data/Features": ", ".join(map(for_markdown, spec.features or ())) or "none"})
    card.add(**{"Model card/How it was judged": _list(_outcome(stores, attempt))})
    if attempt.judgement is not None:
        _add_judgement(card, attempt.judgement)
    told = read_explanation(packed.files)
    if told is not None:
        _add_explanation(card, told)
    _add_table(card, "Parameters", ("parameter", "value"), estimator_params(packed.estimator).items())
    return str(card.render())


def _limitations(config: ModelConfig, attempt: AttemptRecord, baseline: bool) -> Iterator[str]:
    if config.limitations:
        yield config.limitations
    if baseline:
        found = "no feature was found to tell more" if attempt.baseline else "what was judged could not be fitted again"
        yield f"It is the best constant: {found}."
    if attempt.judgement is None:
        yield "It was not compared on labels with what served before."
    else:
        yield f"It was judged on labels that became known in {attempt.holdout[0]} to {attempt.holdout[-1]}, no others."
    if attempt.waiting_rows:
        yield f"{attempt.waiting_rows} rows of the batches that the challenger learnt from had no label yet."


def _data(
    config: ModelConfig, stores: Stores, attempt: AttemptRecord, tags: Mapping[str, str], counts: Mapping[str, float]
) -> Iterator[tuple[str, Any]]:
    first, last = fitted_span(dict(tags))
    batches = sealed_batches(stores.ledger, "rows", config.calendar.between(first, last), attempt.as_of)
    yield "labels known", f"{first} to {last}"
    yield "rows learnt from", int(counts["learnt_rows"])
    yield "labelled rows left out, since their like are not due", int(counts["left_out_rows"])
    yield "rows without a label yet", int(counts["waiting_rows"])
    yield "labels that match no row", int(counts["unmatched_labels"])
    yield "rows that came in these batches", sum(one.rows_in for one in batches)
    yield "of these in quarantine", sum(one.quarantined for one in batches)
    yield "batches rejected or missing", sum(one.state != "published" for one in batches)
    yield "data version", tags["evergreen.data"]
    yield "code version", tags["evergreen.code"]


def _outcome(stores: Stores, attempt: AttemptRecord) -> Iterator[str]:
    yield f"Attempt {attempt.id} {attempt.outcome}: {for_markdown(attempt.why)}."
    if len(attempt.tried) > 1:
        losses = ", ".join(f"{window} {loss:.4g}" for window, loss in attempt.tried.items())
        yield f"Windows that were tried, by their loss: {losses}; {attempt.window} was taken."
    if (found := attempt.searched) is not None:
        params = ", ".join(f"{name}={value}" for name, value in found.params.items()) or "none was better"
        losses = (
            f"{found.default:.4g} before, {found.best:.4g} with them" if found.best and found.default else "no loss"
        )
        yield for_markdown(f"Parameters searched, {found.trials} of {found.asked} sets: {params} ({losses}).")
    answer = stores.ledger.get(ApprovalRecord, attempt.id)
    if answer is not None:
        said, why = "approved" if answer.approved else "rejected", f": {answer.why}" if answer.why else ""
        yield for_markdown(f"{said} by {answer.by}{why}")


def _add_judgement(card: Card, judged: Judgement) -> None:
    models = ("", judged.against, "challenger")
    rows: list[tuple[Any, ...]] = [
        (
            f"{judged.metric} on {judged.rows} rows, batches of labels: {judged.blocks}",
            judged.champion,
            judged.challenger,
        ),
        ("improvement seen", "", f"{judged.improvement:.1%} ({judged.lower:.1%} to {judged.upper:.1%})"),
        ("improvement to be expected", "", f"{judged.expected:.1%}"),
        ("probability that it is worse", "", f"{judged.worse:.0%}"),
    ]
    _add_table(card, "How it was judged/Metrics", models, rows)
    if (calibration := judged.calibration) is not None:
        row = (f"error on {calibration.rows} rows", calibration.champion, calibration.challenger)
        _add_table(card, "How it was judged/Calibration", models, [row])
    slices = [(f"{one.column}={one.value}", one.rows, one.champion, one.challenger) for one in judged.slices]
    if slices:
        _add_table(card, "How it was judged/Slices", ("slice", "rows", *models[1:]), slices)
    groups = [row for report in judged.fairness for row in _groups(report)]
    if groups:
        _add_table(card, "How it was judged/Groups", ("group", "rows", "number", *models[1:]), groups)


def _add_explanation(card: Card, told: Explanation) -> None:
    """What it goes by; importance is of the model that was judged, which had not seen the rows."""
    what = f"By how much {told.metric} grows where a feature's values are exchanged between the rows of the holdout."
    if told.trouble:
        what = f"It cannot be told: {for_markdown(told.trouble)}"
    card.add(**{"Model card/What it goes by": what})
    rows = [(name, one.importance, one.spread) for name, one in told.features.items()]
    if rows:
        grown = f"growth of {told.metric}, {told.value:.4g} on {told.rows} rows"
        _add_table(card, "What it goes by/Importance", ("feature", grown, "standard deviation"), rows)
    followed = [
        (name, ", ".join(f"{_tell(value)}: {mean:.4g}" for value, mean in zip(one.values, one.dependence, strict=True)))
        for name, one in told.features.items()
        if one.dependence
    ]
    if followed:
        mean = "mean prediction where all rows have the value"
        _add_table(card, "What it goes by/Dependence", ("feature", mean), followed)


def _tell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _groups(report: FairnessReport) -> Iterator[tuple[Any, ...]]:
    for group in report.groups:
        for name in sorted(group.champion.keys() & group.challenger.keys()):
            yield f"{report.column}={group.value}", group.rows, name, group.champion[name], group.challenger[name]
    for name in sorted(report.champion_gap.keys() & report.challenger_gap.keys()):
        gaps = report.champion_gap[name], report.challenger_gap[name]
        yield f"{report.column}, largest gap", "", name, *gaps


def _add_table(card: Card, section: str, heads: Sequence[str], rows: Any) -> None:
    cells = [[f"{cell:.4g}" if isinstance(cell, float) else for_markdown(str(cell)) for cell in row] for row in rows]
    columns = {head or " ": list(column) for head, column in zip(heads, zip(*cells, strict=True), strict=True)}
    card.add_table(folded=False, **{f"Model card/{section}": columns})
    # Left alone, the whole path would be the heading.
    card.select(f"Model card/{section}").title = section.rpartition("/")[2]


def _list(lines: Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
