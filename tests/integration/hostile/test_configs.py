"""Bad configs: each is refused with file, field, what was found and what is valid, and harms no other folder."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from evergreen.config.locations import Locations
from evergreen.config.model_folder import BrokenFolder, ModelFolder, find_model_folders, load_model_folder
from evergreen.errors import ConfigInvalid
from evergreen.records import BatchRecord
from evergreen.storage.stores import open_stores
from tests.integration.hostile.small import CONFIG, EXPECTATIONS, batch_of, land_sound, take, write_model
from tests.short_loop import records, tables

SOUND = yaml.safe_dump(CONFIG, sort_keys=False)


@dataclass(frozen=True)
class Bad:
    """A config.yaml that is refused, and what the message must hold."""

    name: str
    content: bytes
    told: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


def edited(name: str, old: str, new: str, *told: str) -> Bad:
    assert SOUND.count(old) == 1, f"{old!r} stands {SOUND.count(old)} times in the sound config"
    return Bad(name, SOUND.replace(old, new).encode(), told)


def whole(name: str, content: str | bytes, *told: str) -> Bad:
    return Bad(name, content if isinstance(content, bytes) else content.encode(), told)


NEEDED = "a mapping with title, schedule, source, rows, labels, model, gate"
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{now}: &{now} [{', '.join(['*' + before] * 9)}]\n" for before, now in zip("abcdefgh", "bcdefghi", strict=True)
)
# ruff: noqa: E501 - one row of the table a line, so that it can be read
KINDS = [
    whole("an empty file", "", "title: missing", "schedule: missing; valid: a mapping with every, start"),
    whole("comments alone", "# nothing yet\n", "title: missing"),
    whole("a list at top level", "- title\n", "found ['title']", NEEDED),
    whole("a text at top level", "Trips\n", "found 'Trips'", NEEDED),
    whole("a binary file", b"\x89PNG\r\n\x1a\n\0", "line 1: is not YAML: byte 0x89 is not UTF-8; save it as text in UTF-8"),
    whole("UTF-16", SOUND.encode("utf-16"), "byte 0xff is not UTF-8; save it"),
    whole("another encoding", SOUND.replace("Trips", "Tripés").encode("latin-1"), "line 1: is not YAML: byte 0xe9 is not UTF-8"),
    whole("a NUL", SOUND + "\0", "is not YAML"),
    whole("a bracket that is never closed", SOUND + "alerts: {http: x", "is not YAML", "line"),
    whole("two documents", SOUND + "---\n" + SOUND, "is not YAML: expected a single document"),
    whole("nested without end", "title: " + "[" * 5000, "is not YAML: nested too deeply"),
    whole("aliases of aliases", LAUGHS, "unfolds to more than 100,000 values", "each value written out"),
    whole("an alias of itself", "title: &a [*a]\n", "unfolds to more than 100,000 values"),
    whole("an object of Python's", "title: !!python/object/apply:os.system [ls]\n", "is not YAML: could not determine a constructor"),
    whole("a field twice", SOUND + "title: Again\n", "title: found in line 1 and again in line", "each field once"),
    edited("a column twice", "    id: integer\n", "    id: integer\n    id: float\n", "id: found in line 15 and again in line 16"),
    edited("a field twice in one line", "title: Trips", "alerts: {http: 'http://a', http: 'http://b'}\ntitle: Trips", "http: found in line 1 and again in line 1"),
    edited("a tab for spaces", "  every: day", "\tevery: day", "is not YAML", "character that cannot start any token", "line 3", r"'\tevery: day'"),
    edited("a number for a field's name", "title: Trips", "5: x\ntitle: Trips", "a text for a field's name"),
    edited("an unknown field", "title: Trips", "titel: x\ntitle: Trips", "titel: unknown field; did you mean title?"),
    edited("a field of another part", "  every: day", "  every: day\n  marker: x", "schedule.marker: unknown field"),
    edited("a missing field", "title: Trips\n", "", "title: missing; valid: a text"),
    edited("a mapping where a text belongs", "title: Trips", "title: {de: Fahrten}", "title: found {'de': 'Fahrten'}; valid: a text"),
    edited("a misspelt type", "distance: float", "distance: flaot", "rows.columns.distance.type: found 'flaot'; valid: 'string', 'category', 'float'"),
    edited("a misspelt option of a column", "distance: float", "distance: {type: float, formt: x}", "rows.columns.distance.formt: unknown field; did you mean format?"),
    edited("a column without a type", "distance: float", "distance:", "rows.columns.distance: found None; valid: a mapping with type"),
    edited("a format that is none", "at: timestamp", "at: {timestamp: '%Q'}", "rows.columns.at.format: found '%Q'", "directive"),
    edited("a key that is no column", "  key:\n  - id\n  event_time", "  key:\n  - trip\n  event_time", "key and event_time name 'trip'; valid: one of id, at, distance, zone"),
    edited("a misspelt policy", "  - decay\n", "  - decai\n", "retrain.any.0: found 'decai'; did you mean decay? valid: 'never', 'every', 'decay'"),
    edited("a misspelt option of a policy", "  - decay\n", "  - {decay: {worse_bi: 5%}}\n", "retrain.any.0.decay.worse_bi: unknown field; did you mean worse_by?"),
    edited("a percentage without its sign", "metric: mae", "metric: mae\n  min_effect: 2", "gate.min_effect: found 2; valid: a percentage such as 2%"),
    edited("another metric", "metric: mae", "metric: mape", "gate.metric: found 'mape'; valid: 'mae', 'rmse', 'logloss' or 'brier'"),
    edited("a metric of another task", "metric: mae", "metric: brier", "gate.metric: found 'brier' for regression; valid: mae, rmse"),
    edited("a number below its least", "window: 3", "window: 0", "training.window: found 0; valid: auto, all, or a number of label batches such as 12"),
    edited("a seed that no library takes", "seed: 1", "seed: -1", "model.seed: found -1; valid: greater than or equal to 0"),
    edited("a date that is none", "'2024-01-01'", "2024-02-31", "is not YAML: day is out of range for month"),
    edited("a date beyond all calendars", "'2024-01-01'", "9999-12-31", "schedule.start: found datetime.date(9999, 12, 31); valid: a date such as 2024-01-01"),
    edited("a number for a date", "'2024-01-01'", "20240101", "schedule.start: found 20240101; valid: a date such as 2024-01-01"),
    edited("a pattern without a batch", "rows_{batch:%Y-%m-%d}*", "rows.csv", "source.files: found 'rows.csv'; valid: a file pattern with the batch in it"),
    edited("a pattern that leaves the landing folder", "rows_{batch:%Y-%m-%d}*", "../rows_{batch:%Y-%m-%d}", "source.files", "below the landing folder"),
    edited("a pattern too coarse", "rows_{batch:%Y-%m-%d}*", "rows_{batch:%Y-%m}*", "source.files: found rows_{batch:%Y-%m}*; valid: a date that tells one day from the next"),
    edited("an encoding for bytes alone", "source:\n", "source:\n  encoding: hex\n", "source.encoding: found 'hex'; valid: an encoding that Python knows"),
    edited("a line break for a delimiter", "source:\n", 'source:\n  delimiter: "\\n"\n', "source.delimiter: found '\\n'; valid: one character that stands in no value"),
    edited("a truth for a text", "source:\n", "source:\n  nulls: [False]\n", "source.nulls.0: found False; valid: a text; in quotes where YAML reads it otherwise"),
    edited("the target among the columns", "    minutes: float", "    zone: float", "rows.columns: found the target 'zone'"),
]  # fmt: skip


@pytest.mark.parametrize("bad", KINDS, ids=str)
def test_a_bad_config_is_refused_by_file_and_field(bad: Bad, tmp_path: Path) -> None:
    write_model(tmp_path, "sound")
    write_model(tmp_path, "hostile")
    path = tmp_path / "models" / "hostile" / "config.yaml"
    path.write_bytes(bad.content)
    found = find_model_folders([tmp_path / "models"])
    assert isinstance(found["sound"], ModelFolder)
    assert isinstance(found["hostile"], BrokenFolder)
    message = str(found["hostile"].error)
    assert all(line.startswith(f"{path}: ") for line in message.splitlines())
    assert max(len(line) - len(str(path)) for line in message.splitlines()) < 400, "a mistake is not buried"
    for fragment in bad.told:
        assert fragment in message


@pytest.mark.parametrize(
    "text",
    [
        SOUND + "description: &text |\n  Trips\nowner: *text\n",
        "\ufeff" + SOUND,
        SOUND.replace("\n", "\r\n"),
        SOUND.replace("    distance: float\n    zone: category\n", "    <<: {distance: float, zone: category}\n"),
    ],
    ids=["an anchor", "BOM", "CRLF", "a merged mapping"],
)
def test_an_odd_config_that_says_what_it_must_is_taken(text: str, tmp_path: Path) -> None:
    loaded = write_model(tmp_path, config=text).config
    assert loaded.rows.columns.keys() == {"id", "at", "distance", "zone"}


def rows(expectation: str) -> str:
    return f"rows:\n  - {expectation}\n"


BETWEEN = "expect_column_values_to_be_between"
AT_LOAD = {
    "a column that is not there": (rows(f"{BETWEEN}: {{column: distanc, min_value: 0}}"), "rows.0.", "found column 'distanc'; did you mean distance?"),
    "a label's column among the rows": (rows(f"{BETWEEN}: {{column: minutes, min_value: 0}}"), "found column 'minutes'; valid: at, distance, id, zone"),
    "another severity": (rows(f"{BETWEEN}: {{column: distance, min_value: 0, severity: fatal}}"), "rows.0.severity: found 'fatal'; valid: 'info', 'warning' or 'critical'"),
    "a misspelt field of an entry": (rows(f"{{type: {BETWEEN}, argument: {{column: distance}}}}"), "rows.0.argument: unknown field; did you mean arguments?"),
    "an argument that is no mapping": (rows(f"{BETWEEN}: 5"), "rows.0", "valid: {expect_…: {argument: value}}"),
    "an expectation twice in one entry": (f"rows:\n  - {BETWEEN}: {{column: id}}\n    {BETWEEN}: {{column: at}}\n", f"{BETWEEN}: found in line 2 and again in line 3"),
}  # fmt: skip
AT_VALIDATION = {
    "an unknown expectation": (rows("expect_column_values_to_be_betwen: {column: distance}"), f"unknown expectation; valid: {BETWEEN}"),
    "a misspelt argument": (rows(f"{BETWEEN}: {{column: distance, mn_value: 0}}"), f"{BETWEEN}.mn_value: unknown argument; did you mean min_value?"),
    "a missing argument": (rows(f"{BETWEEN}: {{min_value: 0}}"), f"{BETWEEN}.column: missing; this argument is needed"),
    "a text for a number": (rows(f"{BETWEEN}: {{column: distance, min_value: low}}"), f"{BETWEEN}.min_value: found 'low'"),
    "an expectation that the type cannot answer": (rows(f"{BETWEEN}: {{column: zone, min_value: 0}}"), "cannot be computed", "zone"),
    "a pattern that is none": (rows("expect_column_values_to_match_regex: {column: zone, regex: '('}"), "cannot be computed: missing )"),
}  # fmt: skip


@pytest.mark.parametrize("case", AT_LOAD)
def test_bad_expectations_are_refused_with_the_folder(case: str, tmp_path: Path) -> None:
    text, *told = AT_LOAD[case]
    with pytest.raises(ConfigInvalid) as raised:
        write_model(tmp_path, expectations=text)
    assert all(fragment in str(raised.value) for fragment in ("expectations.yaml: ", *told)), str(raised.value)


@pytest.mark.parametrize("case", AT_VALIDATION)
def test_expectations_that_cannot_be_asked_publish_nothing_and_once_mended_lose_nothing(
    case: str, tmp_path: Path
) -> None:
    text, *told = AT_VALIDATION[case]
    model, at = write_model(tmp_path, expectations=text), Locations.under(tmp_path)
    land_sound(model, at, 1)
    for _ in range(2):
        with pytest.raises(ConfigInvalid) as raised:
            take(model, at, 1)
        assert all(fragment in str(raised.value) for fragment in ("expectations.yaml: ", *told)), str(raised.value)
    assert tables(model, at) == {}
    (model.path / "expectations.yaml").write_text(EXPECTATIONS)
    mended = load_model_folder(model.path)
    take(mended, at, 1)
    straight = write_model(tmp_path / "straight"), Locations.under(tmp_path / "straight")
    shutil.copytree(at.landing, straight[1].landing)
    take(*straight, 1)
    assert tables(mended, at) | records(mended, at) == tables(*straight) | records(*straight)


@pytest.mark.parametrize(
    ("severity", "state", "quarantined"),
    [("critical", "rejected", 4), ("info", "published", 0), ("warning", "published", 2)],
)
def test_what_a_failing_expectation_does_is_said_by_its_severity(
    severity: str, state: str, quarantined: int, tmp_path: Path
) -> None:
    text = rows(f"{BETWEEN}: {{column: distance, max_value: 3, severity: {severity}}}")
    model, at = write_model(tmp_path, expectations=text), Locations.under(tmp_path)
    land_sound(model, at, 1)
    take(model, at, 1)
    record = open_stores(at, model.id).ledger.get(BatchRecord, f"rows.{batch_of(1)}")
    assert record is not None
    assert (record.state, record.quarantined, record.clean) == (state, quarantined, 4 - quarantined)
    (reason,) = [one for one in record.reasons if one.expectation.startswith(BETWEEN)]
    assert (reason.column, reason.rows) == ("distance", 2)
    assert "2 rows, such as 3.5, 4.5" in reason.found
