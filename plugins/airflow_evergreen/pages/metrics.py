"""The state of models as metrics, in the text that Prometheus scrapes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from airflow_evergreen.pages.listing import ModelRow
from evergreen.config.model_folder import BrokenFolder, ModelFolder
from evergreen.errors import needs_extra
from evergreen.records import Cause
from evergreen.replay.model_state import ModelState

Sample = tuple[str, dict[str, str], float]
# By name what is told; each has the labels env and model.
HELP = {
    "evergreen_readable": "1 where the model's folder and records can be read, else 0.",
    "evergreen_batch_end_timestamp_seconds": "End of the newest claimed batch; its age is how late the loop is.",
    "evergreen_batch_seconds": "Length of the batch that comes next; absent once the schedule has ended.",
    "evergreen_batch_scored": "1 where a version scored that batch, 0 where nobody did.",
    "evergreen_error": "The live error on the labels that came last; its metric is a label.",
    "evergreen_error_at_first": "The same on the first labels of the version that was judged.",
    "evergreen_labelled_share": "Share of the rows of the newest batch with labels whose label is known.",
    "evergreen_champion_version": "The version that scores the next batch.",
    "evergreen_champion_since_timestamp_seconds": "Start of the first batch that it scores; its age is the model's.",
    "evergreen_recent_rows": "Rows that came in the last 30 batches.",
    "evergreen_recent_rows_quarantined": "Those of them in quarantine.",
    "evergreen_inputs_watched": "Inputs that the newest check has compared.",
    "evergreen_inputs_drifted": "Those of them beyond their limit.",
    "evergreen_open_incidents": "1 where an incident of the cause is open, else 0.",
    "evergreen_waits_for_approval": "1 where a challenger waits for a person's word, else 0.",
}


def write_metrics(env: str, rows: Iterable[ModelRow], models: Mapping[str, ModelFolder | BrokenFolder]) -> bytes:
    """What Prometheus is answered.

    :param env: the deployment's name.
    :param rows: the models' states.
    :param models: their folders.
    :raises ExtraMissing: without prometheus-client.
    """
    with needs_extra("metrics", "the metrics of the pages"):
        from prometheus_client import CollectorRegistry, Gauge, generate_latest

    samples = list(_measure(rows, models))
    registry = CollectorRegistry()
    for name, told in HELP.items():
        mine = [(labels, value) for found, labels, value in samples if found == name]
        if mine:
            gauge = Gauge(name, told, ["env", *mine[0][0]], registry=registry)
            for labels, value in mine:
                gauge.labels(env=env, **labels).set(value)
    return generate_latest(registry)


def _measure(rows: Iterable[ModelRow], models: Mapping[str, ModelFolder | BrokenFolder]) -> Iterator[Sample]:
    for row in rows:
        folder, model = models[row.model], {"model": row.model}
        readable = row.state is not None and isinstance(folder, ModelFolder)
        yield "evergreen_readable", model, float(readable)
        if row.state is not None and isinstance(folder, ModelFolder):
            yield from _measure_state(row.state, folder, model)


def _measure_state(state: ModelState, folder: ModelFolder, model: dict[str, str]) -> Iterator[Sample]:
    calendar, judged_by = folder.config.calendar, model | {"metric": state.metric}
    if state.batch is not None:
        yield "evergreen_batch_end_timestamp_seconds", model, calendar.end(state.batch).timestamp()
        following = calendar.shift(state.batch, 1)
        length = calendar.end(following) - calendar.moment(following)
        last = folder.config.schedule.last_moment
        if last is None or calendar.moment(following) < last:
            yield "evergreen_batch_seconds", model, length.total_seconds()
        yield "evergreen_batch_scored", model, float(state.claim is not None and state.claim.version is not None)
    if state.error is not None:
        yield "evergreen_error", judged_by, state.error
    if state.error_at_first is not None:
        yield "evergreen_error_at_first", judged_by, state.error_at_first
    if state.promotion is not None:
        since = calendar.moment(state.promotion.effective_from)
        yield "evergreen_champion_version", model, state.promotion.version
        yield "evergreen_champion_since_timestamp_seconds", model, since.timestamp()
    yield "evergreen_recent_rows", model, state.rows_in
    yield "evergreen_recent_rows_quarantined", model, state.quarantined
    if state.verdict is not None:
        inputs, shares = state.verdict.inputs.numbers, state.verdict.outcomes.numbers.get("share_labelled", {})
        yield "evergreen_inputs_watched", model, len(inputs.get("columns", {}))
        yield "evergreen_inputs_drifted", model, len(inputs.get("drifted", []))
        if shares:
            yield "evergreen_labelled_share", model, shares[max(shares)]
    causes = {incident.opened.cause for incident in state.incidents}
    for cause in get_args(Cause):
        yield "evergreen_open_incidents", model | {"cause": cause}, float(cause in causes)
    yield "evergreen_waits_for_approval", model, float(state.waiting is not None)
