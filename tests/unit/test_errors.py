"""Errors come through between processes as they were raised."""

import pickle

import pytest

from evergreen.errors import ConfigInvalid, EvergreenError, FileUnreadable, FolderNotWritten, NotReady, Outage


@pytest.mark.parametrize(
    "error",
    [
        ConfigInvalid("taxi/config.yaml", ["schedule.every: unknown", "seed: found x"]),
        FolderNotWritten(["--key: found nothing"]),
        FileUnreadable("green.csv", 3, "has no column at"),
        NotReady("batch 2024-01-01 is not sealed"),
        Outage("S3 did not answer"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_keeps_its_kind_its_words_and_its_parts(error: EvergreenError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
