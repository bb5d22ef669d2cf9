"""The hotel example's own preparation, as its README has it run."""

import importlib.util
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "hotel"


def prepare(source: Path, folder: Path) -> None:
    """What prepare.py does from the command line."""
    spec = importlib.util.spec_from_file_location("prepare_hotel", EXAMPLE / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.prepare(source, folder)
