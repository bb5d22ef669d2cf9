"""Features proposed from a history: what becomes of each column, and which parts of the event time tell something."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

from evergreen.scaffold.answers import Chosen
from evergreen.scaffold.assign_batches import AssignedRows
from evergreen.scaffold.compare_on_history import Arguments, choose_arguments
from evergreen.scaffold.find_clocks import predicts, stands_in, tells_rows_apart
from evergreen.scaffold.profile_columns import ColumnFacts


@dataclass(frozen=True)
class FeaturePlan:
    """What features.py makes of the columns.

    :param numbers, flags, categories, dates: columns by what becomes of them.
    :param calendar: expressions of the event time ``at``, by the name of the feature.
    :param choose: tells the arguments of the gradient boosting; fits on the history take longer than all else here.
    """

    numbers: tuple[str, ...]
    flags: tuple[str, ...]
    categories: tuple[str, ...]
    dates: tuple[str, ...]
    calendar: dict[str, str]
    choose: Callable[[], Arguments] = field(compare=False)

    @functools.cached_property
    def arguments(self) -> Arguments:
        """Of the gradient boosting, by name."""
        return self.choose()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to learn from."""
        return not (self.numbers or self.flags or self.categories or self.dates or self.calendar)


def plan_features(declared: tuple[ColumnFacts, ...], chosen: Chosen, assigned: AssignedRows) -> FeaturePlan:
    """What is made of the declared columns, and of the hour and the weekday where they tell something."""
    outcome, classification = chosen.target.values.astype(float), chosen.task == "classification"

    def of(*types: str) -> tuple[str, ...]:
        alone = chosen.key if len(chosen.key) == 1 else ()
        return tuple(
            facts.name
            for facts in declared
            if facts.type is not None and facts.type.type in types
            if facts.name != chosen.event.name and facts.name not in alone and not facts.left_out
        )

    at = chosen.event.values.dt
    minutes = at.hour * 60 + at.minute
    hour = "at.dt.hour + at.dt.minute / 60" if at.minute.nunique() > 1 else "at.dt.hour"
    calendar = {}
    for part, values, expression in (("hour", minutes, hour), ("weekday", at.weekday, "at.dt.weekday")):
        # One for all rows of a batch, it would name the batch, unless it comes round.
        varies = tells_rows_apart(part, values, assigned) and not stands_in(declared, part, chosen.event.values)
        numbers = [facts for facts in declared if facts.name not in (*chosen.key, chosen.event.name)]
        if varies and predicts(values, numbers, outcome, assigned, classification):
            calendar[f"{part}_of_event" if any(one.name == part for one in declared) else part] = expression
    learnt = (of("integer", "float"), of("boolean"), of("category"), of("timestamp", "date"))
    columns = [facts for facts in declared if any(facts.name in names for names in learnt)]
    return FeaturePlan(
        *learnt, calendar, functools.partial(choose_arguments, columns, outcome, assigned, classification)
    )
