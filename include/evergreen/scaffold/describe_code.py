"""What features.py and estimator.py say of a proposal."""

from typing import Any

from evergreen.scaffold.propose_model import ModelProposal
from evergreen.scaffold.quote_text import prose, quoted


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
    target, plan = prose(proposal.chosen.target.name), proposal.features
    regression = proposal.chosen.task == "regression"
    of = "the median of " if "loss" in plan.arguments else "" if regression else "the probability of "
    arguments = [
        f"{name}={quoted(value) if isinstance(value, str) else value}" for name, value in plan.arguments.items()
    ]
    arguments.append("early_stopping=False")
    if plan.categories:
        arguments.append("categorical_features=CATEGORIES")
    return {
        "aim": f"for {of}{target}",
        "estimator": "HistGradientBoostingRegressor" if regression else "HistGradientBoostingClassifier",
        "categories": plan.categories,
        "arguments": arguments,
    }


def as_list(columns: tuple[str, ...], name: str) -> str:
    """A list of texts as a formatter would leave it."""
    texts = [quoted(column) for column in columns]
    line = f"{name} = [{', '.join(texts)}]"
    return line if len(line) <= 120 else "\n".join([f"{name} = [", *(f"    {text}," for text in texts), "]"])
