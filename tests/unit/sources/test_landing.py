"""Landing: which files are whose, and when they are all there."""

from datetime import UTC, datetime

import pytest

from evergreen.batches import Calendar
from evergreen.config.feeds_config import FilesConfig
from evergreen.config.limits_config import DEFAULT_LIMITS
from evergreen.sources.landing import LandedFile, list_files, probe_files, read_file

DAYS = Calendar("day", datetime(2024, 1, 1, tzinfo=UTC))
WEEKS = Calendar("week", datetime(2024, 1, 1, tzinfo=UTC))
PATTERN = "t_{batch:%Y-%m-%d}*.csv"
DAY = "2024-01-02"
FILE = "t_2024-01-02.csv"


def put(folder, *names, text="a\n1\n"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_files_are_listed_by_the_batch_that_their_name_says(tmp_path):
    put(tmp_path, "t_2024-01-02_b.csv", "t_2024-01-02_a.csv", "t_2024-01-03.csv")
    put(tmp_path, "t_2024-01-02.csv.tmp", "other.csv", "t_2024-02-31.csv", "deeper/t_2024-01-02.csv")
    assert list_files(tmp_path, FilesConfig(files=PATTERN), DAYS) == {
        "2024-01-02": ["t_2024-01-02_a.csv", "t_2024-01-02_b.csv"],
        "2024-01-03": ["t_2024-01-03.csv"],
    }


def test_a_date_inside_a_week_is_of_that_week(tmp_path):
    put(tmp_path, "t_2024-01-01.csv", "t_2024-01-07.csv", "t_2024-01-08.csv")
    assert list_files(tmp_path, FilesConfig(files=PATTERN), WEEKS) == {
        "2024-01-01": ["t_2024-01-01.csv", "t_2024-01-07.csv"],
        "2024-01-08": ["t_2024-01-08.csv"],
    }


def test_folders_of_batches_are_walked(tmp_path):
    put(tmp_path, "2024-01-02/part1.csv", "2024-01-02/part0.csv", "2024-01-02/deeper/part2.csv")
    files = FilesConfig(files="{batch:%Y-%m-%d}/part*.csv")
    assert list_files(tmp_path, files, DAYS) == {DAY: ["2024-01-02/part0.csv", "2024-01-02/part1.csv"]}


def test_nothing_there_is_not_complete_and_says_what_is_awaited(tmp_path):
    put(tmp_path, "t_2024-01-03.csv")
    files = FilesConfig(files=PATTERN)
    seen = probe_files(tmp_path, files, DAYS, DAY, None)
    assert (seen.complete, seen.sizes) == (False, ())
    assert PATTERN in seen.why
    assert DAY in seen.why
    assert not probe_files(tmp_path, files, DAYS, DAY, seen).complete


def test_a_marker_completes_its_own_batch_alone(tmp_path):
    files = FilesConfig(files=PATTERN, complete={"marker": "t_{batch:%Y-%m-%d}.done"})
    put(tmp_path, FILE, "t_2024-01-03.csv", "t_2024-01-03.done")
    before = probe_files(tmp_path, files, DAYS, DAY, None)
    assert not probe_files(tmp_path, files, DAYS, DAY, before).complete
    assert "t_2024-01-02.done" in before.why
    assert probe_files(tmp_path, files, DAYS, "2024-01-03", None).complete
    put(tmp_path, "t_2024-01-02.done")
    assert probe_files(tmp_path, files, DAYS, DAY, None).complete


def test_a_marker_without_files_completes_nothing(tmp_path):
    files = FilesConfig(files=PATTERN, complete={"marker": "t_{batch:%Y-%m-%d}.done"})
    put(tmp_path, "t_2024-01-02.done")
    assert not probe_files(tmp_path, files, DAYS, DAY, None).complete


def test_a_marker_lies_in_the_folder_of_its_files(tmp_path):
    files = FilesConfig(files="{batch:%Y-%m-%d}/part*.csv", complete={"marker": "_SUCCESS"})
    put(tmp_path, "2024-01-02/part0.csv", "2024-01-03/part0.csv", "2024-01-03/_SUCCESS", "_SUCCESS")
    assert not probe_files(tmp_path, files, DAYS, DAY, None).complete
    assert probe_files(tmp_path, files, DAYS, "2024-01-03", None).complete


@pytest.mark.parametrize(("there", "complete"), [(1, False), (2, True), (3, False)])
def test_a_count_must_be_met_exactly(there, complete, tmp_path):
    files = FilesConfig(files=PATTERN, complete={"count": 2})
    put(tmp_path, *[f"t_2024-01-02_{i}.csv" for i in range(there)])
    seen = probe_files(tmp_path, files, DAYS, DAY, None)
    assert seen.complete is complete
    assert seen.why == f"{there} of 2 files"


def test_sizes_must_be_the_same_over_two_probes(tmp_path):
    files = FilesConfig(files=PATTERN)
    put(tmp_path, FILE)
    first = probe_files(tmp_path, files, DAYS, DAY, None)
    assert not first.complete
    assert first.sizes == ((FILE, 4),)
    assert probe_files(tmp_path, files, DAYS, DAY, first).complete


def test_a_growing_file_is_not_complete_until_it_rests(tmp_path):
    files = FilesConfig(files=PATTERN)
    seen = None
    for rows in range(1, 5):
        put(tmp_path, FILE, text="a\n" + "1\n" * rows)
        seen = probe_files(tmp_path, files, DAYS, DAY, seen)
        assert not seen.complete, rows
    assert probe_files(tmp_path, files, DAYS, DAY, seen).complete


def test_a_file_that_joins_or_leaves_starts_the_probes_anew(tmp_path):
    files = FilesConfig(files=PATTERN)
    put(tmp_path, FILE)
    seen = probe_files(tmp_path, files, DAYS, DAY, None)
    put(tmp_path, "t_2024-01-02_b.csv")
    seen = probe_files(tmp_path, files, DAYS, DAY, seen)
    assert not seen.complete
    (tmp_path / "t_2024-01-02_b.csv").unlink()
    seen = probe_files(tmp_path, files, DAYS, DAY, seen)
    assert not seen.complete
    assert probe_files(tmp_path, files, DAYS, DAY, seen).complete


def test_a_file_is_read_whole_with_its_hash(tmp_path):
    (tmp_path / FILE).write_bytes(b"a\r\n\xff\n")
    landed = read_file(tmp_path, FILE, DEFAULT_LIMITS)
    assert landed == LandedFile(FILE, b"a\r\n\xff\n")
    assert landed.sha256 == LandedFile("another name", b"a\r\n\xff\n").sha256
    assert landed.sha256 != LandedFile(FILE, b"a\n\xff\n").sha256
