"""Regular files: nothing else is read, and nobody waits for what never comes."""

import os

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.config.regular_files import Irregular, open_regular, read_regular
from evergreen.errors import ConfigInvalid


def test_a_link_is_followed_but_from_a_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link") == b"text"
    below = os.open(tmp_path, os.O_RDONLY)
    with open_regular("file", below) as file:
        assert file.read() == b"text"
    with pytest.raises(Irregular, match="is no regular file"):
        open_regular("link", below)
    os.close(below)


def test_a_pipe_a_device_and_a_folder_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(Irregular, match="is no regular file"):
            read_regular(path)


@pytest.mark.parametrize("name", ["config.yaml", "features.py", "expectations.yaml"])
def test_a_model_folder_is_not_waited_for(name, write_folder):
    path = write_folder()
    (path / name).unlink(missing_ok=True)
    os.mkfifo(path / name)
    with pytest.raises(ConfigInvalid, match=f"{name}: cannot be read: is no regular file"):
        load_model_folder(path)
