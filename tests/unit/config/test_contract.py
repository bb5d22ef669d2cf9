"""The contract: what a sound config.yaml says, and what holds where it says nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from evergreen.config.contract import ModelConfig
from evergreen.config.feeds_config import FilesConfig
from evergreen.config.fields import ColumnType
from evergreen.config.model_folder import load_model_folder
from evergreen.config.policies_config import Decay, EveryN, Never
from evergreen.config.tasks_config import AlertsConfig, HeavyConfig, TasksConfig
from evergreen.errors import ConfigInvalid


def test_a_sound_config_is_read_as_written(write_folder):
    config = load_model_folder(write_folder()).config
    assert config.schedule.start == datetime(2024, 1, 1, tzinfo=UTC)
    assert config.source.wait == timedelta(hours=6)
    assert config.rows.columns["at"] == ColumnType(type="timestamp", format="%Y-%m-%d %H:%M")
    assert config.rows.max_quarantined == pytest.approx(0.2)
    assert config.labels.column == "minutes"
    assert config.gate.slices["zone"].may_worsen == pytest.approx(0.1)
    assert config.retrain.any == (Decay(), EveryN(n=28))
    assert config.calendar.starts_at(0) == datetime(2024, 1, 1, tzinfo=UTC)


def test_calibration_and_proof_are_judged_where_config_asks_for_them(write_folder, edit_config):
    gate = load_model_folder(write_folder()).config.gate
    assert (gate.calibration, gate.confidence) == (None, None)
    asks = edit_config("min_effect: 2%", "calibration: {}, confidence: 95%, sensitive: [zone]")
    gate = load_model_folder(write_folder("other", config=asks)).config.gate
    assert (gate.calibration.may_worsen, gate.confidence, gate.sensitive) == (None, pytest.approx(0.95), ("zone",))


@pytest.mark.parametrize("every", ["hour", "day", "week", "month"])
def test_where_nothing_is_said_asking_is_regular_and_sooner_when_it_hurts(every, write_folder, edit_config):
    text = edit_config("{window: 12, min_labels: 200}", "{}").replace("retrain: {any: [decay, {every: 28}]}\n", "")
    text = text.replace("every: day", f"every: {every}").replace("%Y-%m-%d}", "%Y-%m-%dT%H}")
    config = load_model_folder(write_folder(config=text)).config
    assert {type(policy) for policy in config.policies} == {EveryN, Decay}
    assert (config.retrain.any, config.retrain.budget, config.worse_by) == (None, None, Decay().worse_by)
    assert (config.training.window, config.training.min_labels) == ("auto", 30)
    # All of the past, and recent windows.
    assert config.windows[0] == "all"
    assert all(isinstance(window, int) for window in config.windows[1:])
    assert len(config.windows) > 1


def test_what_is_said_of_windows_and_policies_holds(write_folder, edit_config):
    config = load_model_folder(write_folder()).config
    assert (config.windows, config.policies) == ((12,), (Decay(), EveryN(n=28)))
    text = edit_config("window: 12", "window: all").replace("[decay, {every: 28}]", "[{decay: 20%}, {decay: 9%}]")
    config = load_model_folder(write_folder("other", config=text)).config
    assert (config.windows, config.worse_by) == (("all",), pytest.approx(0.09))
    text = edit_config("[decay, {every: 28}]", "[never], budget: 90s")
    config = load_model_folder(write_folder("third", config=text)).config
    assert (config.policies, config.worse_by) == ((Never(),), Decay().worse_by)
    assert config.retrain.budget == timedelta(seconds=90)


def test_a_label_feed_declares_the_key_as_the_rows_do(write_folder):
    config = load_model_folder(write_folder()).config
    assert config.label_columns == {"id": ColumnType(type="integer"), "minutes": ColumnType(type="float")}
    assert isinstance(config.labels, FilesConfig)
    assert config.labels.wait == timedelta(hours=12)


@pytest.mark.parametrize(
    ("labels", "columns"),
    [("labels: none\n", []), ("labels: {target: {minutes: float}}\n", ["id", "minutes"])],
    ids=["no labels", "labels inside the rows"],
)
def test_labels_may_stand_in_the_rows_or_nowhere(labels, columns, write_folder, edit_config):
    text = edit_config("labels:\n", "LABELS")
    text = text.partition("LABELS")[0] + labels + text[text.index("features: ") :]
    assert list(load_model_folder(write_folder(config=text)).config.label_columns) == columns


def test_a_plain_marker_is_allowed_where_each_batch_has_its_folder(write_folder, edit_config):
    text = edit_config("trips_{batch:%Y-%m-%d}*.csv", "{batch:%Y-%m-%d}/part*.csv")
    text = text.replace('{marker: "trips_{batch:%Y-%m-%d}.done"}', "{marker: _SUCCESS}")
    assert load_model_folder(write_folder(config=text)).config.source.complete.marker == "_SUCCESS"


def test_a_config_cannot_be_changed(write_folder):
    config = load_model_folder(write_folder()).config
    assert isinstance(config, ModelConfig)
    with pytest.raises(ValueError, match="frozen"):
        config.title = "another"


def test_where_nothing_is_said_tasks_run_and_are_retried_so():
    assert TasksConfig() == TasksConfig(
        poll=timedelta(seconds=30), retries=3, retry_delay=timedelta(minutes=1), heavy=HeavyConfig()
    )
    assert (HeavyConfig().executor, HeavyConfig().queue, HeavyConfig().pool) == (None, None, "default_pool")
    assert AlertsConfig() == AlertsConfig(http=None, slack=None, channel=None)


@pytest.mark.parametrize("tasks", ["poll: 0s", "poll: forever", "poll: 25h", "retry_delay: 0s", "retry_delay: forever"])
def test_a_pause_that_is_none_or_endless_is_refused(tasks, write_folder, edit_config):
    folder = write_folder(config=edit_config("seed: 7}\n", f"seed: 7}}\ntasks: {{{tasks}}}\n"))
    with pytest.raises(ConfigInvalid, match=f"tasks.{tasks.partition(':')[0]}.*valid"):
        load_model_folder(folder)


def test_a_pause_of_a_day_is_the_longest():
    made = TasksConfig.model_validate({"poll": "24h", "retry_delay": "1d"})
    assert (made.poll, made.retry_delay) == (timedelta(days=1), timedelta(days=1))


def test_a_minute_is_a_batch(write_folder, edit_config):
    text = edit_config("every: day, start: 2024-01-01", "every: minute, start: 2024-01-01T05:30:00")
    text = text.replace("{batch:%Y-%m-%d}", "{batch:%Y-%m-%dT%H%M}")
    config = load_model_folder(write_folder(config=text)).config
    assert config.calendar.name(0) == "2024-01-01T0530"
    assert config.source.files.name_for(config.calendar.starts_at(1)) == "trips_2024-01-01T0531.csv"
