"""Model folders by the dozen, and the DAGs that are made of them."""

import shutil

import pytest
import yaml

from tests.dags.parsing import ROOT, parse

TAXI = ROOT / "include" / "models" / "taxi"


@pytest.fixture
def add_model(tmp_path, monkeypatch):
    """Write a copy of the taxi folder, with other parts of config.yaml where they are given."""
    monkeypatch.setenv("EVERGREEN_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()

    def add(name, root=tmp_path / "models", **parts):
        shutil.copytree(TAXI, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        config = yaml.safe_load((TAXI / "config.yaml").read_text()) | parts
        (root / name / "config.yaml").write_text(yaml.safe_dump(config))
        return root / name

    return add


@pytest.fixture(scope="session")
def taxi():
    """The DAGs of our own model, by id."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EVERGREEN_MODELS", raising=False)
        bag = parse()
    assert bag.import_errors == {}
    return bag.dags
