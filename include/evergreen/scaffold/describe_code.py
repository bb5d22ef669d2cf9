"""What features.py and estimator.py say of a proposal."""

from typing import Any

from evergreen.scaffold.propose_model import ModelProposal
from evergreen.scaffold.quote_text import prose, quoted

_FEW = 2000


def describe_features(proposal: ModelProposal) -> dict[str, Any]:
    """What the template of features.py shows."""
    plan = proposal.features
    pieces = {
        "batch[NUMBERS].astype(float)": plan.numbers,
        "batch[FLAGS].astype(float)": plan.flags,
        'batch[CATEGORIES].astype("category")': plan.categories,
        "pd.DataFrame(ages, index=batch.index)": plan.dates,
        "pd.DataFrame(calendar, index=batch.index)": plan.calendar,
    }
    lists = {"NUMBERS": plan.numbers, "FLAGS": plan.flags, "CATEGORIES": plan.categories, "DATES": plan.dates}
    return {
        "target": proposal.chosen.target.name,
        "event": proposal.chosen.event.name,
        "lists": {name: columns for name, columns in lists.items() if columns},
        "dates": plan.dates,
        "calendar": plan.calendar,
        "pieces": [piece for piece, of in pieces.items() if of],
    }


def describe_estimator(proposal: ModelProposal) -> dict[str, Any]:
    """What the template of estimator.py shows."""
    rows, target = proposal.files.rows.num_rows, prose(proposal.chosen.target.name)
    regression = proposal.chosen.task == "regression"
    arguments = ["max_iter=200", "learning_rate=0.08"]
    if rows < _FEW:
        # Few rows: small trees, whose leaves still hold a share of them.
        arguments = ["max_iter=60", "max_leaf_nodes=7", f"min_samples_leaf={max(2, min(20, rows // 60))}"]
    if not regression:
        # Leaves of few rows are sure of themselves, which the log loss does not forgive.
        arguments.append("l2_regularization=1.0")
    arguments.append("early_stopping=False")
    if proposal.features.categories:
        arguments.append("categorical_features=CATEGORIES")
    return {
        "aim": f"for {target}" if regression else f"for the probability of {target}",
        "estimator": "HistGradientBoostingRegressor" if regression else "HistGradientBoostingClassifier",
        "categories": proposal.features.categories,
        "arguments": arguments,
    }


def as_list(columns: tuple[str, ...], name: str) -> str:
    """A list of texts as a formatter would leave it."""
    texts = [quoted(column) for column in columns]
    line = f"{name} = [{', '.join(texts)}]"
    return line if len(line) <= 120 else "\n".join([f"{name} = [", *(f"    {text}," for text in texts), "]"])
