"""Every mistake in a config.yaml is answered with file, field, what was found and what is valid."""

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.errors import ConfigInvalid

# old text, new text, and what one line of the message must hold: field, what was found, what is valid.
BROKEN = {
    "unknown field, near name": ("check: {window: 2", "chek: {window: 2", "chek: unknown field", "did you mean check?"),
    "unknown field of a part": ("  wait: 6h", "  wiat: 6h", "source.wiat: unknown field", "did you mean wait?"),
    "unknown field, no near name": (
        "seed: 7",
        "gpu: 7",
        "model.gpu: unknown field",
        "valid: task, seed, trusted_types",
    ),
    "unknown field of a slice": (
        "{may_worsen: 10%}",
        "{may_worse: 10%}",
        "gate.slices.zone.may_worse: unknown field",
        "did you mean may_worsen?",
    ),
    "missing part": ("model: {task: regression, seed: 7}\n", "", "model: missing", "valid: "),
    "missing field": ("every: day, ", "", "schedule.every: missing", "one of minute, hour, day, week, month"),
    "missing metric": ("metric: mae, ", "", "gate.metric: missing", "one of mae, rmse, logloss, brier"),
    "missing key": ("  key: [id]\n  event", "  event", "rows.key: missing", "valid: "),
    "mistyped enum": ("every: day", "every: dya", "schedule.every", "'dya'", "'hour', 'day', 'week' or 'month'"),
    "mistyped task": ("regression", "regresion", "model.task", "'regresion'", "'regression' or 'classification'"),
    "mistyped column type": ("distance: float", "distance: flaot", "rows.columns.distance.type", "'flaot'", "'float'"),
    "metric of another task": ("metric: mae", "metric: logloss", "gate.metric", "'logloss'", "valid: mae, rmse"),
    "metric of no task": (
        "metric: mae",
        "metric: mape",
        "gate.metric",
        "'mape'",
        "'mae', 'rmse', 'logloss' or 'brier'",
    ),
    "label key differs": ("key: [id]\n  target", "key: [trip]\n  target", "labels.key", "['trip']", "valid: ['id']"),
    "label key missing": ("key: [id]\n  target", "target", "labels.key", "found []", "valid: ['id']"),
    "target among columns": (
        "{minutes: float}",
        "{distance: float}",
        "rows.columns: found the target 'distance'",
        "valid: under labels.target alone",
    ),
    "rowwise with lookback": (
        "lookback: 0, rowwise",
        "lookback: 2, rowwise",
        "features",
        "'lookback': 2",
        "valid: lookback: 0, or rowwise: false",
    ),
    "an engine that the model does not fit": (
        "features: {lookback: 0, rowwise: true}",
        "engine: spark",
        "engine: found spark for a model that may look beyond the row",
        "valid: local, or rowwise: true",
    ),
    "negative lookback": ("lookback: 0", "lookback: -1", "features.lookback", "-1", "greater than or equal to 0"),
    "bad percent": ("min_effect: 2%", "min_effect: two", "gate.min_effect", "'two'", "a percentage such as 2%"),
    "bad percent of a slice": ("may_worsen: 10%", "may_worsen: 1O%", "gate.slices.zone.may_worsen", "'1O%'", "such as"),
    "confidence out of range": ("min_effect: 2%", "confidence: 95", "gate.confidence", "95", "a fraction such as 0.02"),
    "bad duration": ("wait: 6h", "wait: 6 hours", "source.wait", "'6 hours'", "a duration such as"),
    "pattern without batch": (
        "trips_{batch:%Y-%m-%d}*.csv",
        "trips.csv",
        "source.files",
        "'trips.csv'",
        "a file pattern with the batch in it once",
    ),
    "pattern with another directive": (
        "trips_{batch:%Y-%m-%d}*.csv",
        "trips_{batch:%B}.csv",
        "source.files",
        "%B",
        "%Y %y %m %d %H %M %j",
    ),
    "marker without batch": (
        '{marker: "trips_{batch:%Y-%m-%d}.done"}',
        "{marker: _SUCCESS}",
        "source",
        "complete.marker",
        "'_SUCCESS'",
        "_SUCCESS_{batch:%Y-%m-%d}",
    ),
    "marker that fits the pattern": (
        '{marker: "trips_{batch:%Y-%m-%d}.done"}',
        '{marker: "trips_{batch:%Y-%m-%d}_done.csv"}',
        "source",
        "complete.marker: found 'trips_{batch:%Y-%m-%d}_done.csv'",
        "valid: a name that the pattern trips_{batch:%Y-%m-%d}*.csv does not fit",
    ),
    "marker and count": (
        '.done"}',
        '.done", count: 2}',
        "source.complete",
        "'count': 2",
        "valid: one of marker, count, stable",
    ),
    "count of none": ('{marker: "trips_{batch:%Y-%m-%d}.done"}', "{count: 0}", "source.complete.count", "0", "greater"),
    "two delimiters": (
        "wait: 6h",
        "delimiter: '||'",
        "source.delimiter",
        "'||'",
        "one character that stands in no value",
    ),
    "unknown time zone": ("America/New_York", "America/New_Yrok", "schedule.timezone", "'America/New_Yrok'", "IANA"),
    "months from the 15th": (
        "every: day, start: 2024-01-01",
        "every: month, start: 2024-01-15",
        "schedule",
        "datetime.date(2024, 1, 15)",
        "valid: 2024-01-01",
    ),
    "start is no date": ("start: 2024-01-01", "start: January", "schedule.start", "'January'", "valid date"),
    "key is no column": ("key: [id]\n  event", "key: [ID]\n  event", "rows", "'ID'", "one of id, at, distance, zone"),
    "event time is no column": (
        "event_time: at",
        "event_time: when",
        "rows",
        "'when'",
        "one of id, at, distance, zone",
    ),
    "event time is no time": ("event_time: at", "event_time: zone", "rows", "'zone'", "a timestamp or date column"),
    "name of the lake's own": ("zone: category", "batch: category", "rows", "columns: batch", "any other name"),
    "no columns": (
        '    id: integer\n    at: {timestamp: "%Y-%m-%d %H:%M"}\n    distance: float\n    zone: category\n',
        "    {}\n",
        "rows.columns",
        "{}",
        "at least 1 item",
    ),
    "slice is no column": (
        "slices: {zone",
        "slices: {borough",
        "gate.slices",
        "'borough'",
        "one of id, at, distance, zone",
    ),
    "sensitive is no column": ("min_effect: 2%", "sensitive: [sex]", "gate.sensitive", "'sex'", "one of zone"),
    "sensitive has no groups": ("min_effect: 2%", "sensitive: [distance]", "gate.sensitive", "'distance'", "of zone"),
    "sensitive is the key": ("min_effect: 2%", "sensitive: [id]", "gate.sensitive", "'id'", "one of zone"),
    "bad percent of the calibration": (
        "min_effect: 2%",
        "calibration: {may_worsen: much}",
        "gate.calibration.may_worsen",
        "'much'",
        "such as 2%",
    ),
    "ignored is no column": ("ignore: [distance]", "ignore: [fare]", "check.ignore", "'fare'", "one of id, at"),
    "divergence of no column": (
        "ignore: [distance]",
        "divergence: {fare: psi}",
        "check.divergence",
        "'fare'",
        "valid: a column that can be compared: id, distance, zone",
    ),
    "divergence of another type": (
        "ignore: [distance]",
        "divergence: {zone: ks}",
        "check.divergence.zone",
        "'ks' for category",
        "valid: jensenshannon, psi, kl, chisquare",
    ),
    "divergence that is none": (
        "ignore: [distance]",
        "divergence: {zone: kld}",
        "check.divergence.zone",
        "'kld'",
        "'kl'",
    ),
    "a window of nothing": (
        "window: 12",
        "window: 0",
        "training.window",
        "found 0",
        "valid: auto, all, or a number of label batches such as 12",
    ),
    "a window in words": (
        "window: 12",
        "window: recent",
        "training.window",
        "'recent'",
        "valid: auto, all, or a number of label batches such as 12",
    ),
    "bad policy": ("[decay, {every: 28}]", "[decai]", "retrain.any.0", "decai", "did you mean decay?"),
    "no such policy": ("[decay, {every: 28}]", "[drift]", "retrain.any.0", "'never', 'every', 'decay'"),
    "bad option of a policy": ("{every: 28}", "{every: often}", "retrain.any.1.every.n", "'often'", "a valid integer"),
    "unknown option of a policy": ("{every: 28}", "{decay: {by: 5%}}", "retrain.any.1.decay.by", "unknown field"),
    "a budget without a unit": (
        "any: [decay",
        "budget: 5, any: [decay",
        "retrain.budget",
        "found 5",
        "a duration such as",
    ),
    "a budget of nothing": ("any: [decay", "budget: 0s, any: [decay", "retrain.budget", "found '0s'", "valid: "),
    "no policy": ("any: [decay, {every: 28}]", "any: []", "retrain.any", "[]", "at least 1 item"),
    "mistyped duration of the labels": ("wait: 12h", "wait: 12 h o", "labels.wait", "'12 h o'", "a duration such as"),
    "duration without a unit": ("wait: 6h", "wait: 6", "source.wait", "6", "a duration such as"),
    "share beyond one": ("max_quarantined: 20%", "max_quarantined: 20", "rows.max_quarantined", "20", "such as 2%"),
    "share that is no number": (
        "max_quarantined: 20%",
        "max_quarantined: .nan",
        "rows.max_quarantined",
        "nan",
        "such as",
    ),
    "pattern without a year": ("trips_{batch:%Y-%m-%d}*.csv", "trips_{batch:%m-%d}*.csv", "source", "%m-%d"),
    "pattern coarser than a batch": ("trips_{batch:%Y-%m-%d}*.csv", "trips_{batch:%Y-%m}*.csv", "source", "%Y-%m"),
    "pattern that names a part twice": ("trips_{batch:%Y-%m-%d}*.csv", "trips_{batch:%Y-%Y}*.csv", "source", "%Y-%Y"),
    "encoding that is none": ("wait: 6h", "encoding: utf9", "source.encoding", "'utf9'"),
    "target of the lake's own name": ("{minutes: float}", "{batch: float}", "batch"),
    "target that is no number": (
        "{minutes: float}",
        "{minutes: string}",
        "labels.target: found string for regression",
        "valid: float, integer",
    ),
    "default of a key": (
        "id: integer",
        "id: {type: integer, default: 0}",
        "rows",
        "columns.id.default",
        "never made up",
    ),
    "default of the target": (
        "{minutes: float}",
        "{minutes: {type: float, default: 0}}",
        "labels.target: found a default",
        "valid: none, a missing label is missing",
    ),
    "renamed from a declared column": (
        "distance: float",
        "distance: {type: float, renamed_from: zone}",
        "columns.distance.renamed_from: 'zone' is declared itself",
    ),
    "two columns of one past": (
        "distance: float",
        "distance: {type: float, renamed_from: x}\n    miles: {type: float, renamed_from: x}",
        "columns.miles.renamed_from: 'distance' was 'x' too",
    ),
    "renamed from the target": (
        "distance: float",
        "distance: {type: float, renamed_from: minutes}",
        "rows.columns: found the target 'minutes'",
        "so that no feature can read it",
    ),
    "key named twice": ("key: [id]\n  event", "key: [id, id]\n  event", "rows"),
    "alerts to no URL": ("seed: 7}\n", "seed: 7}\nalerts: {http: hooks.example.com/x}\n", "alerts.http", "'hooks.exa"),
    "cron twice a batch": (
        "every: day, ",
        "every: day, cron: '0 6,18 * * *', ",
        "cron: found '0 6,18 * * *', which does not fire once a day: after batch 2023-12-31 comes 2023-12-31",
        "valid: such as '0 0 * * *'",
    ),
    "cron of work days": (
        "every: day, ",
        "every: day, cron: '0 6 * * 1-5', ",
        "does not fire once a day: after batch 2024-01-04 comes 2024-01-07",
        "valid: such as '0 0 * * *'",
    ),
    "cron of the 31st": (
        "every: day, ",
        "every: month, cron: '0 6 31 * *', ",
        "does not fire once a month",
        "valid: such as '0 0 1 * *'",
    ),
    "cron of another length": ("every: day, ", "every: day, cron: '0 6 * * 3', ", "does not fire once a day"),
    "cron by name": ("every: day, ", "every: day, cron: '@daily', ", "cron: found '@daily'", "not five fields"),
    "cron with seconds": ("every: day, ", "every: day, cron: '0 0 * * * 30', ", "cron: found", "not five fields"),
    "cron that is none": ("every: day, ", "every: day, cron: at dawn, ", "cron: found 'at dawn'", "'0 0 * * *'"),
    "cron with an hour too many": (
        "every: day, ",
        "every: day, cron: '0 24 * * *', ",
        "cron: found '0 24 * * *', which cannot be read",
        "valid: such as '0 0 * * *'",
    ),
    "minutes told apart by hours": (
        "every: day, ",
        "every: minute, ",
        "source.files: found trips_{batch:%Y-%m-%d}*.csv",
        "valid: a date that tells one minute from the next",
    ),
    "poll without a unit": ("seed: 7}\n", "seed: 7}\ntasks: {poll: 30}\n", "tasks.poll", "30", "a duration such as"),
    "fewer than no retries": ("seed: 7}\n", "seed: 7}\ntasks: {retries: -1}\n", "tasks.retries", "-1", "or equal to 0"),
    "unknown place of heavy tasks": (
        "seed: 7}\n",
        "seed: 7}\ntasks: {heavy: {que: gpu}}\n",
        "tasks.heavy.que: unknown field",
        "did you mean queue?",
    ),
    "alerts to nobody we know": (
        "seed: 7}\n",
        "seed: 7}\nalerts: {teams: x}\n",
        "alerts.teams: unknown field",
        "valid: http, slack, channel",
    ),
    "a number for a title": ("title: Taxi trips", "title: 5", "title", "5", "a text"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_mistake_is_answered_with_file_field_found_and_valid(case, write_folder, edit_config):
    old, new, *told = BROKEN[case]
    folder = write_folder(config=edit_config(old, new))
    with pytest.raises(ConfigInvalid) as raised:
        load_model_folder(folder)
    lines = [line for line in str(raised.value).splitlines() if all(part in line for part in told)]
    assert len(lines) == 1, f"no line, or several, with {told} in:\n{raised.value}"
    assert lines[0].startswith(f"{folder / 'config.yaml'}: ")
    assert raised.value.path == str(folder / "config.yaml")


def test_every_mistake_of_a_file_is_told_at_once(write_folder, edit_config):
    text = edit_config("seed: 7", "sed: 7").replace("every: day", "every: dya").replace("6h", "6 hours")
    with pytest.raises(ConfigInvalid) as raised:
        load_model_folder(write_folder(config=text))
    fields = {problem.partition(":")[0] for problem in raised.value.problems}
    assert fields == {"model.sed", "schedule.every", "source.wait"}
