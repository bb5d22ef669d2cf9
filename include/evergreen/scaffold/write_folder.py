"""The text of a model folder, held against the contract before it stands where models are looked for."""

import tempfile
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from evergreen.config.model_folder import load_model_folder, require_name
from evergreen.errors import FolderNotWritten
from evergreen.scaffold.describe_code import as_list, describe_estimator, describe_features
from evergreen.scaffold.describe_config import describe_config
from evergreen.scaffold.propose_expectations import Proposed
from evergreen.scaffold.propose_model import ModelProposal
from evergreen.scaffold.quote_text import behind, flow, prose, quoted

_FILES = ("config.yaml", "expectations.yaml", "features.py", "estimator.py")


def require_free(name: str, root: Path, roots: list[Path]) -> None:
    """Refuse a name that is taken, or that no model can have.

    :param root: where the folder is to stand.
    :param roots: where models are looked for.
    :raises FolderNotWritten: naming the folder that is there.
    :raises ConfigInvalid: if the name cannot be a model's id.
    """
    require_name(root / name)
    for parent in (root, *roots):
        if (parent / name).exists():
            problem = "is there already, and nothing is overwritten; take another name, or move it away"
            raise FolderNotWritten([f"{parent / name}: {problem}"])


def write_folder(proposal: ModelProposal, root: Path) -> Path:
    """Write a model folder, whole or not at all.

    :returns: the folder.
    """
    root.mkdir(parents=True, exist_ok=True)
    texts = render_folder(proposal)
    with tempfile.TemporaryDirectory(dir=root, prefix=".new-model-") as scratch:
        draft = Path(scratch) / proposal.name
        draft.mkdir()
        for file, text in texts.items():
            (draft / file).write_text(text, encoding="utf-8")
        load_model_folder(draft)
        return draft.rename(root / proposal.name)


def render_folder(proposal: ModelProposal) -> dict[str, str]:
    """The text of each file of a model folder."""
    # YAML and Python are written here, no HTML; each text is quoted for where it stands.
    templates = Environment(loader=PackageLoader("evergreen.scaffold"), undefined=StrictUndefined, autoescape=False)  # noqa: S701
    templates.keep_trailing_newline = True
    templates.filters |= {"yaml": flow, "python": as_list, "quoted": quoted, "prose": prose}
    facts = {
        "config.yaml": describe_config(proposal),
        "expectations.yaml": {
            "files": prose(proposal.files.names),
            "rows": [_expectation(one) for one in proposal.row_expectations],
            "labels": [_expectation(one) for one in proposal.label_expectations],
        },
        "features.py": describe_features(proposal),
        "estimator.py": describe_estimator(proposal),
    }
    return {file: templates.get_template(f"{file}.j2").render(facts[file]) for file in _FILES}


def _expectation(one: Proposed) -> str:
    return f"- {one.type}: {flow(one.arguments)}{behind(one.evidence)}"
