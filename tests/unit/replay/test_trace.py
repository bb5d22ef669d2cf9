"""One prediction is traced to its file and row, or told why it is not there."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from evergreen.cli import cli
from evergreen.errors import NotReady, Refused
from evergreen.replay.runner import Runner
from evergreen.replay.trace import trace_prediction
from evergreen.steps.rescore_batches import rescore_batches
from tests.unit.small_loop import SmallLoop, day, doubled, make_rows


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """Nobody scores the first day; the third has a torn value, and was scored again by the baseline."""
    loop = SmallLoop.begun(tmp_path_factory.mktemp("lived"), 2, retrain={"any": ["never"]})
    loop.land(3, doubled)
    rows = make_rows(3, doubled).astype({"x": object})
    rows.loc[5, "x"] = "wide"
    rows.to_csv(Path(loop.at.landing) / "small" / f"rows_{day(3)}.csv", index=False)
    Runner(loop.model, loop.at, sinks=()).run_batch(day(3))
    rescore_batches(loop.model, loop.at, day(3), day(3), 1, "ada: an audit")
    return loop


def trace(loop, number, *key):
    return trace_prediction(loop.model, loop.at, day(number), key)


def test_it_leads_from_the_file_to_the_verdict(loop):
    told = trace(loop, 3, "3007")
    assert list(told) == ["prediction", "file", "validation", "version 2", "version 1"]
    value = loop.predictions(3).set_index("id")["prediction"][3007]
    assert told["prediction"][0].startswith(
        f"revision 0: {value:.10g} by version 2, promotion 2, in force from {day(3)}"
    )
    assert told["prediction"][1].startswith("revision 2: ")
    assert "by version 1, scored again: ada: an audit" in told["prediction"][1]
    landed = Path(loop.at.landing) / "small" / f"rows_{day(3)}.csv"
    (file,) = told["file"]
    assert file.startswith(f"rows_{day(3)}.csv, row 8: {landed.stat().st_size} bytes, sha256 ")
    assert landed.read_text().splitlines()[8].startswith("3007,")
    assert (Path(loop.at.lake) / "raw" / "dev" / "small" / file.rpartition(" ")[2]).read_bytes() == landed.read_bytes()
    assert told["validation"][0].startswith(f"batch {day(3)} published: 40 rows came, 39 clean, 1 in quarantine")
    assert told["validation"][1] == "x: reads as float: 'wide' is not a finite number (1 rows)"
    second = told["version 2"]
    assert second[0] == f"small version 2: promotion 2, serves from batch {day(3)}"
    assert any(line.startswith(f"asked for by verdict {day(2)}.0: ") for line in second)
    assert any(line.startswith("against ") for line in second)
    assert second[-2:] == [
        f"learnt from rows of 2 batches, {day(1)} to {day(2)}",
        f"learnt from labels of 2 batches, {day(1)} to {day(2)}",
    ]


@pytest.mark.parametrize(
    ("number", "key", "error", "said"),
    [
        (3, ("3005",), Refused, rf"no prediction for id 3005: it is in quarantine, rows_{day(3)}\.csv, row 6: x: "),
        (3, ("9",), Refused, "no prediction for id 9: no row of it has that key"),
        (1, ("1001",), Refused, "no prediction for id 1001: nobody scored it: no champion yet"),
        (3, ("1", "2"), Refused, "a key is id; 2 values were given: 1, 2"),
        (4, ("1",), NotReady, f"batch {day(4)} has not been claimed"),
    ],
)
def test_what_was_not_predicted_is_told_with_its_reason(loop, number, key, error, said):
    with pytest.raises(error, match=said):
        trace(loop, number, *key)
    with pytest.raises(Refused, match="small: 'soon' is no batch"):
        trace_prediction(loop.model, loop.at, "soon", key)


def test_the_command_prints_it(loop):
    home = Path(loop.at.lake).parent
    env = {"EVERGREEN_HOME": str(home), "EVERGREEN_MODELS": str(loop.model.path.parent)}
    done = CliRunner(env=env).invoke(cli, ["trace", "small", day(3), "3007"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("prediction\n  revision 0: ")
    assert "\nversion 2\n  small version 2: promotion 2" in done.output
