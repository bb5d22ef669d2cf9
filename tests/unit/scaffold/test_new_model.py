"""Proposals: what the data say is taken from them, what they do not say is asked for, and nothing is made up."""

import numpy as np
import pandas as pd
import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.errors import ConfigInvalid, FolderNotWritten
from evergreen.scaffold.ask_person import take_proposal
from evergreen.scaffold.write_folder import require_free, write_folder
from tests.unit.scaffold.sales import ROWS, make_sales


def test_what_nobody_answers_is_told_all_at_once_with_what_is_possible(propose):
    with pytest.raises(FolderNotWritten) as refused:
        propose(make_sales(), key=(), event_time=None, target=None, every=None)
    told = str(refused.value)
    assert [line.partition(":")[0] for line in told.splitlines() if line.startswith("--")] == [
        "--event-time", "--target", "--key", "--every",
    ]  # fmt: skip
    assert "sale_id  no two of 400 rows alike" in told
    assert "amount  " in told


def test_proposals_are_taken_where_they_are_asked_for(propose):
    proposal = propose(make_sales(), key=(), event_time=None, every=None, ask=take_proposal)
    assert (proposal.chosen.key, proposal.chosen.event.name) == (("sale_id",), "sold_at")
    assert proposal.chosen.every == "month", "fourteen rows a week are few"


def test_an_answer_that_does_not_fit_is_asked_again(propose):
    answers, problems = iter(["amout", "amount"]), []

    def ask(question, problem):
        problems.append(problem)
        return next(answers)

    assert propose(make_sales(), target=None, ask=ask).chosen.target.name == "amount"
    assert problems == [None, "--target amout: no such column in sales0.csv; did you mean amount?"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"target": "shop2"}, r"--target shop2: no such column in sales0\.csv; did you mean shop\?"),
        ({"target": "sold_at"}, "--target sold_at: is the event time"),
        (
            {"key": ("shop",)},
            "--key shop: 398 of 400 rows have the key of another row and differ from it, such as shop",
        ),
        ({"key": ("sale_id", "amount")}, "--key amount: is the target"),
        ({"event_time": "price"}, r"--event-time price: '[\d.]+' does not read as a date"),
        ({"task": "classification"}, r"--task classification: amount has \d+ values; valid: 0 and 1"),
    ],
    ids=["no such column", "target is time", "key repeats", "key is target", "time is number", "too many classes"],
)
def test_answers_are_held_against_the_data(flags, told, propose):
    with pytest.raises(FolderNotWritten, match=told):
        propose(make_sales(), **flags)


@pytest.mark.parametrize(
    ("values", "yes", "no", "remark"),
    [
        (["Yes", "No"], ("Yes",), ("No",), ""),
        (["n", "y"], ("y",), ("n",), ""),
        (["<=50K", ">50K"], (">50K",), ("<=50K",), ">50K (80 rows) is predicted, <=50K (320 rows) is not; if it is"),
        (
            [1, 2],
            ("2",),
            ("1",),
            "2 (80 rows) is predicted, 1 (320 rows) is not; if it is",
        ),
    ],
    ids=str,
)
def test_a_target_of_two_values_is_a_boolean_that_says_which_is_which(values, yes, no, remark, propose, tmp_path):
    often, rarely = (values[1], values[0]) if values[0] == "Yes" else values
    frame = make_sales(won=lambda f: np.where(np.arange(ROWS) % 5, often, rarely))
    proposal = propose(frame, target="won")
    assert (proposal.chosen.task, proposal.chosen.target.type.yes, proposal.chosen.target.type.no) == (
        "classification", yes, no,
    )  # fmt: skip
    assert proposal.chosen.remarks.get("won", "").startswith(remark)
    assert ("won" in proposal.chosen.remarks) == bool(remark)
    (target,) = load_model_folder(write_folder(proposal, tmp_path / "models")).config.labels.target.values()
    assert (target.type, target.yes, target.no) == ("boolean", yes, no)


def test_categories_without_number_and_new_ones_are_learnt_and_scored(propose, tmp_path):
    frame = pd.concat([make_sales()] * 20, ignore_index=True)
    frame = frame.assign(sale_id=range(len(frame)), town=[f"T{i % 300}" for i in range(len(frame))])
    proposal = propose(frame)
    assert proposal.features.categories == ("shop", "town")
    model = load_model_folder(write_folder(proposal, tmp_path / "models"))
    code: dict = {}
    for text in model.code.values():
        exec(text, code)
    batch = pd.DataFrame({name: facts.values for name, facts in proposal.columns.items()})
    estimator = code["build_estimator"](1).fit(code["build_features"](batch, batch.iloc[:0]), batch["amount"])
    new = code["build_features"](batch.assign(town="unheard of", shop=None), batch.iloc[:0])
    assert np.isfinite(estimator.predict(new)).all()


def test_two_columns_that_name_a_row_together_are_proposed(propose):
    frame = make_sales(till=lambda f: np.arange(ROWS) % 2).drop(columns="sale_id")
    proposal = propose(frame.drop(columns=["price"]).assign(n=1.5), key=(), ask=take_proposal)
    assert proposal.chosen.key == ("sold_at", "till")


def test_a_key_that_names_nearly_all_rows_is_proposed_where_none_names_all(propose):
    """An hour that comes twice as summer time ends."""
    hours = pd.date_range("2024-01-01", periods=ROWS, freq="h").strftime("%Y-%m-%d %H:%M").tolist()
    frame = make_sales(sold_at=[*hours[:-1], hours[-2]], visitors=[*range(1, ROWS), ROWS - 1]).drop(
        columns=["sale_id", "shop"]
    )
    proposal = propose(frame, key=(), ask=take_proposal)
    assert proposal.chosen.key == ("sold_at",)
    assert proposal.chosen.remarks["sold_at"].startswith(
        f"1 of 400 rows have the key of another: they will go to quarantine, such as sold_at {hours[-2]}; if they are"
    )
    frame["sold_at"] = [hours[i // 2] for i in range(ROWS)]
    with pytest.raises(FolderNotWritten, match="no column, and no two or three together, name a row"):
        propose(frame.drop(columns="visitors"), key=())


def test_a_folder_is_never_overwritten(propose, tmp_path):
    proposal, root = propose(make_sales()), tmp_path / "models"
    folder = write_folder(proposal, root)
    kept = {path.name: path.read_text() for path in folder.iterdir()}
    with pytest.raises(FolderNotWritten, match="is there already, and nothing is overwritten"):
        require_free("sales", tmp_path / "elsewhere", [root])
    with pytest.raises(OSError, match="not empty"):
        write_folder(proposal, root)
    assert {path.name: path.read_text() for path in folder.iterdir()} == kept
    assert [path.name for path in root.iterdir()] == ["sales"]


def test_a_name_that_no_model_can_have_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigInvalid, match="valid: letters, digits"):
        require_free("my sales", tmp_path, [])


def test_names_that_yaml_and_python_trip_over_reach_the_folder_unharmed(propose, tmp_path):
    names = ["no", "1", "a: b", "it's # 1", 'say "x"', "tab\there", "größe", "x.y", "{c}", "back\\slash"]
    values = {name: np.random.default_rng(i).normal(0, 1, ROWS).round(3) for i, name in enumerate(names)}
    folder = write_folder(propose(make_sales().assign(**values)), tmp_path / "models")
    model = load_model_folder(folder)
    assert set(names) <= set(model.config.rows.columns)
    module: dict = {}
    exec(model.code["features.py"], module)
    assert set(names) <= set(module["NUMBERS"])
