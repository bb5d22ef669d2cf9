"""Label files become a feed; what tells only that a label is due is left out."""

import re

import numpy as np
import pandas as pd
import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.errors import FolderNotWritten
from evergreen.scaffold.answers import Answers
from evergreen.scaffold.ask_person import take_proposal
from evergreen.scaffold.join_labels import describe_delays
from evergreen.scaffold.propose_model import propose_model
from evergreen.scaffold.read_files import read_files
from evergreen.scaffold.split_history import split_history
from evergreen.scaffold.tell_proposal import tell_proposal
from evergreen.scaffold.write_folder import write_folder
from tests.unit.scaffold.sales import ROWS, make_sales


def write_labels(tmp_path, known="%Y-%m-%d"):
    """Sales whose outcome is known up to 40 days later, and for the last ones never; early outcomes are good ones."""
    random = np.random.default_rng(9)
    sales = make_sales()
    good = random.random(ROWS) < 0.5
    days = np.where(good, 3, 30) + random.integers(0, 10, ROWS)
    told = pd.to_datetime(sales["sold_at"]) + pd.to_timedelta(days, "D")
    labels = pd.DataFrame(
        {"sale_id": sales["sale_id"], "good": np.where(good, "Yes", "No"), "told": told.dt.strftime(known)}
    )
    labels = labels[told < "2024-07-01"]
    # What trends with time tells nothing of a label that the time does not tell.
    sales["price"] = (sales["price"] + np.arange(ROWS) / 40).round(2)
    sales["state"] = np.where(told < "2024-07-01", "closed", "open")
    sales["closed_by"] = np.where(told < "2024-07-01", "north", "")
    sales.to_csv(tmp_path / "sales.csv", index=False)
    labels.to_csv(tmp_path / "labels.csv", index=False)
    return read_files([tmp_path / "sales.csv"]), read_files([tmp_path / "labels.csv"])


def test_a_label_file_becomes_a_feed_and_what_tells_only_that_a_label_is_due_is_left_out(tmp_path):
    sales, labels = write_labels(tmp_path, "%d.%m.%Y")
    given = Answers(event_time="sold_at", target="good", every="week")
    proposal = propose_model("sales", sales, given, take_proposal, labels)
    assert proposal.leaks == {
        "state": "tells which rows of a batch have good yet (AUC 1.00 on rows held out)",
        "closed_by": "is there where good is, and hardly anywhere else",
    }
    assert (proposal.chosen.key, proposal.left_out["told"]) == (("sale_id",), "comes with the label")
    missing = ROWS - labels.rows.num_rows
    told = tell_proposal(proposal, tmp_path, served=True)
    assert (
        f"mind      good is missing in {missing} of 400 rows ({missing / ROWS:.1%}): they are scored, and"
        in "\n".join(told)
    )
    assert "mind      half of the labels came within 2 weeks, nine in ten within 5" in told
    assert any(re.match(r"mind      on average 100.0% in the earlier \d\d%, ", line) for line in told)
    split = "--labels " + str(tmp_path / "labels.csv") + " --label-time told=%d.%m.%Y"
    assert any(line.endswith(split) for line in told)
    config = load_model_folder(write_folder(proposal, tmp_path / "models")).config
    assert (config.labels.files.text, config.labels.key) == ("sales_labels_{batch:%Y-%m-%d}*.csv", ("sale_id",))
    assert (config.labels.max_delay, config.labels.target["good"].yes) == (90, ("Yes",))
    assert not {"state", "closed_by", "told", "good"} & set(config.rows.columns)


def test_label_files_that_are_named_by_batch_came_in_that_batch(tmp_path):
    """As the bookings of docs/examples/hotel lie in their landing folder."""
    write_labels(tmp_path)
    sales, labels = (pd.read_csv(tmp_path / name) for name in ("sales.csv", "labels.csv"))
    paths = {"sales": [], "labels": []}
    for name, frame, time in (("sales", sales, "sold_at"), ("labels", labels, "told")):
        day = pd.to_datetime(frame[time])
        for week, part in frame.groupby(day - pd.to_timedelta(day.dt.weekday, "D")):
            paths[name].append(tmp_path / "landing" / f"{name}_{week:%Y-%m-%d}.csv.gz")
            paths[name][-1].parent.mkdir(exist_ok=True)
            part.drop(columns="told", errors="ignore").to_csv(paths[name][-1], index=False)
    given = Answers(event_time="sold_at", target="good", every="week")
    proposal = propose_model("sales", read_files(paths["sales"]), given, take_proposal, read_files(paths["labels"]))
    assert proposal.delays.quantile([0.5, 0.9]).tolist() == [2, 5]
    model = load_model_folder(write_folder(proposal, tmp_path / "models"))
    assert model.config.labels.files.text == "labels_{batch:%Y-%m-%d}.csv.gz"
    assert not [line for line in tell_proposal(proposal, tmp_path, served=True) if "--label-time" in line]
    done = split_history(model, paths["sales"], tmp_path / "again", paths["labels"])
    came = {path.name[7:17]: len(pd.read_csv(path)) for path in paths["labels"]}
    assert {batch: count for batch, count in done.labels.items() if count} == came


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"key": ("shop",)}, r"--labels: labels\.csv lacks shop; expected the key of the row that a label is about"),
        ({"target": "bad"}, r"--target bad: no such column in labels\.csv; it has good, told"),
        ({"label_time": "when"}, r"--label-time when: no such column in labels\.csv; it has sale_id, good, told"),
    ],
    ids=["no key", "no target", "no time"],
)
def test_a_label_file_that_does_not_fit_is_refused(flags, told, tmp_path):
    sales, labels = write_labels(tmp_path)
    with pytest.raises(FolderNotWritten, match=told):
        propose_model("sales", sales, Answers(event_time="sold_at", every="week", **flags), take_proposal, labels)


def test_a_target_with_gaps_is_told_of(propose, tmp_path):
    proposal = propose(make_sales(amount=lambda f: f["amount"].where(np.arange(ROWS) % 4 > 0)))
    told = tell_proposal(proposal, tmp_path, served=True)
    assert (
        "mind      amount is missing in 100 of 400 rows (25.0%): they are scored, and not learnt from before it is "
        "known; if it comes later, name the files that bring it by --labels"
    ) in told


def test_early_labels_are_told_from_those_that_most_come_with_at_last():
    """What happens is known as it does; what does not, when its time is over."""
    delays, outcome = pd.Series([2] * 60 + [26] * 240), pd.Series([True] * 60 + [False] * 240)
    assert describe_delays(delays, outcome, classification=True, every="week") == [
        "half of the labels came within 26 weeks, nine in ten within 26",
        "on average 100.0% in the earlier 20%, 0.0% in the others",
    ]
    at_once = pd.Series([26] * 300)
    assert len(describe_delays(at_once, outcome, classification=True, every="week")) == 1
