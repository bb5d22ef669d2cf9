"""Proposals from frames."""

import pytest

from evergreen.scaffold.answers import Answers
from evergreen.scaffold.propose_model import propose_model
from evergreen.scaffold.read_files import read_files


@pytest.fixture
def propose(tmp_path):
    """Propose from frames, one a file, with flags as a user would give them."""

    def run(*frames, ask=lambda question, problem: None, **given):
        paths = []
        for i, frame in enumerate(frames):
            paths.append(tmp_path / f"sales{i}.csv")
            frame.to_csv(paths[-1], index=False)
        flags = {"key": ("sale_id",), "event_time": "sold_at", "target": "amount", "every": "week"} | given
        return propose_model("sales", read_files(paths), Answers(**flags), ask)

    return run
