"""The state of a model, as lists of models ask for it: again and again."""

import obstore
import pytest

from evergreen.replay.model_state import read_state
from evergreen.storage import ledger as ledger_module
from evergreen.storage.ledger import Ledger
from tests.unit.small_loop import SmallLoop, doubled


@pytest.fixture
def requests(monkeypatch):
    """The requests to the ledger's store, as they are made."""
    made = []

    class Noted:
        def __getattr__(self, name):
            def call(*args, **kwargs):
                made.append(name)
                return getattr(obstore, name)(*args, **kwargs)

            return call

    monkeypatch.setattr(ledger_module, "obstore", Noted())
    return made


def elsewhere(loop):
    """The ledger as a new process opens it."""
    return Ledger(loop.at.lake, loop.at.env, loop.model.id)


def test_who_asks_again_makes_few_requests_and_is_told_what_a_new_process_is(tmp_path, requests):
    loop = SmallLoop.begun(tmp_path, 3)
    ledger = elsewhere(loop)
    state = read_state(loop.model, ledger)
    assert state.rows_in == 3 * 40
    assert [batch for batch, _ in state.errors] == ["2024-01-02", "2024-01-03"]
    del requests[:]
    assert read_state(loop.model, ledger) == state
    # Whether a batch, a check, a claim, a promotion was added, and by one listing, which causes there are.
    assert len(requests) < 12
    loop.take(doubled, 4)
    unchecked = read_state(loop.model, ledger)
    assert (unchecked.batch, unchecked.verdict.as_of, unchecked.rows_in) == ("2024-01-04", "2024-01-03", 4 * 40)
    loop.run(doubled, 4, 5)
    assert read_state(loop.model, ledger) == read_state(loop.model, elsewhere(loop))
    assert read_state(loop.model, ledger).verdict.as_of == "2024-01-05"
