"""Numbers as other countries write them are declared so and read so, or asked for."""

import numpy as np
import pytest

from evergreen.config.fields import ColumnType
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import FolderNotWritten
from evergreen.scaffold.answers import Answers
from evergreen.scaffold.propose_model import propose_model
from evergreen.scaffold.read_files import read_files
from evergreen.scaffold.tell_proposal import tell_proposal
from evergreen.scaffold.write_folder import write_folder
from tests.unit.scaffold.sales import ROWS, make_sales


def write_german(tmp_path, price="{:.2f}"):
    """Sales between semicolons, of which the amounts have points between thousands."""
    frame = make_sales(amount=lambda f: (f["price"] * 300 + np.arange(ROWS)).astype(int).map("{:,}".format))
    frame["amount"] = frame["amount"].str.replace(",", ".")
    frame["price"] = frame["price"].map(price.format).str.replace(".", ",")
    frame.to_csv(tmp_path / "sales.csv", index=False, sep=";")
    return frame


def propose_german(tmp_path, ask=lambda question, problem: None, **given):
    flags = {"key": ("sale_id",), "event_time": "sold_at", "target": "amount", "every": "week"} | given
    return propose_model("sales", read_files([tmp_path / "sales.csv"]), Answers(**flags), ask)


def test_numbers_are_declared_as_the_file_writes_them_and_read_so(tmp_path):
    frame = write_german(tmp_path)
    proposal = propose_german(tmp_path, keep=("price",))
    model = load_model_folder(write_folder(proposal, tmp_path / "models"))
    assert model.config.rows.columns["price"] == ColumnType(type="float", decimal=",")
    assert model.config.labels.target["amount"] == ColumnType(type="float", decimal=",", thousands=".")
    amounts = frame["amount"].str.replace(".", "").astype(float)
    assert proposal.chosen.target.values.tolist() == amounts.tolist()
    first = next(text for text in frame["amount"] if "." in text)
    lines = tell_proposal(proposal, model.path, served=True)
    read = f"{first!r} is read as {first.replace('.', '')}, by how other columns write a fraction"
    assert f"mind      amount: {read}" in lines


def test_numbers_that_read_two_ways_are_asked_for(tmp_path):
    write_german(tmp_path, price="{:.0f}")
    with pytest.raises(FolderNotWritten, match="--decimal amount=MARK: What stands before a fraction in amount") as why:
        propose_german(tmp_path)
    assert '(decimal: ",", thousands: "." in config.yaml)' in str(why.value)
    for flag in (",", "amount=,"):
        target = propose_german(tmp_path, decimal=(flag,)).chosen.target
        assert (target.type.decimal, target.type.thousands, target.values.max() > 1000) == (",", ".", True)
    asked = propose_german(tmp_path, ask=lambda question, problem: "," if problem else ";").chosen.target
    assert asked.type.thousands == "."
    assert propose_german(tmp_path, decimal=(".",)).chosen.target.type == ColumnType(type="float")
    with pytest.raises(FolderNotWritten, match=r"--decimal amount=;: does not read amount; valid: \. or ,"):
        propose_german(tmp_path, decimal=(";",))
    with pytest.raises(FolderNotWritten, match=r"--decimal amont: no such column in sales\.csv"):
        propose_german(tmp_path, decimal=(",", "amont=,"))


def test_two_numbers_of_a_format_are_told_apart_by_their_size(tmp_path):
    frame = make_sales(price="1,5", amount=lambda f: np.where(f["price"] > 5, "10,5", "9,5"))
    frame.to_csv(tmp_path / "sales.csv", index=False, sep=";")
    declared = propose_german(tmp_path, keep=("price",)).chosen.target.type
    assert (declared.yes, declared.no) == (("10,5",), ("9,5",))


def test_a_unit_is_declared_and_read_and_its_values_can_be_predicted(propose, tmp_path):
    frame = make_sales(
        amount=lambda f: [f"${value:,}" for value in (f["price"] * 1000).astype(int)],
        length=lambda f: [f"{i % 50} min" for i in range(ROWS)],
        code=lambda f: [f"{i % 9}A" for i in range(ROWS)],
    )
    proposal = propose(frame, keep=("price",))
    config = load_model_folder(write_folder(proposal, tmp_path / "models")).config
    assert config.labels.target["amount"] == ColumnType(type="float", thousands=",", unit="$")
    assert config.rows.columns["length"] == ColumnType(type="integer", unit="min")
    assert config.rows.columns["code"].type == "category"
    assert proposal.chosen.target.values.tolist() == (frame["price"] * 1000).astype(int).tolist()


def test_a_target_of_numbers_that_do_not_read_says_why(propose):
    with pytest.raises(FolderNotWritten, match=r"--target amount: numbers in a form that is not read, such as '\("):
        propose(make_sales(amount=lambda f: [f"({i}.5)" for i in range(ROWS)]))
