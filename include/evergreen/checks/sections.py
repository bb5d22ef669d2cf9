"""Sections of a check that need no labels: freshness, inputs, predictions."""

import functools
import itertools
import statistics

from evergreen.checks.judge_columns import find_drifted, judge_columns
from evergreen.checks.kept_statistics import read_predicted, read_statistics
from evergreen.checks.label_keys import check_label_keys
from evergreen.checks.reference import REFERENCE_FILE, Reference, watched_columns
from evergreen.checks.tallies import Tallies
from evergreen.checks.thresholds import RECENT
from evergreen.config.contract import ModelConfig
from evergreen.features.batch_statistics import PREDICTION
from evergreen.features.label_batches import records_with_rows
from evergreen.features.labelled import standing_claim
from evergreen.features.reading import published
from evergreen.judging.promotions import promotion_decided
from evergreen.records import Numbers, PromotionRecord, SectionVerdict
from evergreen.storage.revisions import sealed_batches
from evergreen.storage.stores import Stores

# A volume is held against that of so many batches before, and says nothing with fewer of them or of their rows.
_EARLIER = 14
_FEWEST_EARLIER = 3
_FEWEST_ROWS = 50
_FALLEN = 0.2
NOBODY = SectionVerdict(state="provisional", why="no champion yet")


def check_freshness(
    config: ModelConfig, stores: Stores, covers: list[str], last: Numbers | None = None
) -> SectionVerdict:
    """Whether rows and labels came, of rows not a fifth or less of what the batches before brought, and of labels some
    that match a row.

    :param last: the numbers of this section at the check before.
    """
    faults, rows = [], {}
    for feed in ("rows", "labels") if config.labels is not None else ("rows",):
        for record in sealed_batches(stores.ledger, feed, covers, covers[-1]):
            if record.state != "published":
                faults.append(f"{feed} of {record.batch} {record.state}")
            elif feed == "rows":
                rows[record.batch] = record.rows_in
    numbers: Numbers = {"rows": rows, "usual_rows": None}
    before = records_with_rows(stores.ledger, config.calendar, "rows", config.calendar.shift(covers[0], -1))
    earlier = [record.rows_in for record in itertools.islice(before, _EARLIER)]
    usual = statistics.median(earlier) if len(earlier) >= _FEWEST_EARLIER else 0
    if usual >= _FEWEST_ROWS:
        numbers["usual_rows"] = usual
        low = usual * _FALLEN
        # Where a shop is shut on Sundays, two of fourteen days are as small.
        for batch, came in rows.items() if sum(one <= low for one in earlier) < 2 else ():
            if came <= low:
                faults.append(f"{came} rows in {batch}, where {usual:.0f} are usual (median of {len(earlier)} batches)")
    keys = check_label_keys(config, stores, covers, (last or {}).get("label_keys", {}))
    if keys:
        numbers["label_keys"] = keys
        faults += [keys["why"]] if keys["why"] else []
    numbers["faults"] = len(faults)
    if faults:
        return SectionVerdict(state="warn", why="; ".join(faults), numbers=numbers)
    return SectionVerdict(state="ok", why=f"{len(covers)} batches came", numbers=numbers)


def check_inputs(
    config: ModelConfig, stores: Stores, covers: list[str], promotion: PromotionRecord | None
) -> SectionVerdict:
    """Whether the rows lie further from the champion's reference than its own batches do.

    The batches of the last three checks are also compared as one, so that a small shift adds up: with the reference of
    the version before them, for a newer one may have learnt from some of them.
    """
    if promotion is None:
        return NOBODY
    newest = _compare_inputs(config, stores, covers, promotion)
    if newest is None:
        return SectionVerdict(state="provisional", why="no rows to compare")
    calendar = config.calendar
    since = calendar.shift(covers[-1], 1 - RECENT * config.check.every)
    earlier = promotion_decided(stores.ledger, calendar.shift(since, -1))
    recent = _compare_inputs(config, stores, calendar.between(since, covers[-1]), earlier) if earlier else None
    return _conclude("inputs", newest, recent)


def check_predictions(
    config: ModelConfig, stores: Stores, covers: list[str], promotion: PromotionRecord | None
) -> SectionVerdict:
    """Whether what the champion predicts has moved."""
    if promotion is None:
        return NOBODY
    claims = [claim for batch in covers if (claim := standing_claim(stores, batch)).version == promotion.version]
    if not claims:
        return SectionVerdict(state="provisional", why="the champion has scored none of these batches")
    reference = _reference(stores, promotion).only([PREDICTION])
    tallies = Tallies(reference)
    for claim in claims:
        tallies.add(read_predicted(config.data_schema, stores, claim))
    return _conclude("predictions", _compare(reference, tallies, _age(config, covers, promotion)))


def _compare_inputs(
    config: ModelConfig, stores: Stores, batches: list[str], promotion: PromotionRecord
) -> Numbers | None:
    """What ``_compare`` says of the rows of some batches, as known at the last; None if they have none."""
    schema = stores.models.load_promoted(promotion).spec.data_schema(config.data_schema)
    partitions = published(stores, "rows", batches, batches[-1], schema.columns)
    if not partitions:
        return None
    reference = _reference(stores, promotion)
    age = _age(config, batches, promotion)
    # The reference has what was watched when it was made; what is ignored since then is compared no more.
    watched = [name for name in watched_columns(schema, config) if name in reference.columns]
    tallies = Tallies(reference.only(watched), schema.event_time)
    columns = {name: schema.columns[name] for name in (schema.event_time, *watched)}
    for partition in partitions:
        tallies.add(read_statistics(schema, stores, partition, columns), partition.batch)
    return _compare(reference, tallies, age)


def _compare(reference: Reference, current: Tallies, age: int) -> Numbers:
    return {"rows": current.rows, "age": age, "columns": judge_columns(reference, current, age)}


def _conclude(what: str, newest: Numbers, recent: Numbers | None = None) -> SectionVerdict:
    """The state and its words: what drifted, alone or only together, and of what nobody can tell.

    :param newest: of the batches that are checked.
    :param recent: of the last ones together.
    """
    drifts = find_drifted(newest["columns"], recent["columns"] if recent else None)
    texts, drifted = [], list(drifts)
    for name, together in drifts.items():
        judged = (recent if recent and together else newest)["columns"][name]
        texts.append(f"{name} {judged['distance']:.3g} (limit {judged['threshold']:.3g})")
        if recent and together:
            texts[-1] += f" in {recent['rows']} rows of the last batches together"
    unjudged: dict[str, list[str]] = {}
    for name, judged in newest["columns"].items():
        if "cannot_tell" in judged and name not in drifted:
            unjudged.setdefault(judged["cannot_tell"], []).append(name)
    cannot = "; ".join(f"{_list(names)} ({reason})" for reason, names in unjudged.items())
    numbers = {**newest, "drifted": drifted, **({"recent": recent} if recent else {})}
    if not drifted and all(
        "cannot_tell" in judged for judged in newest["columns"].values() if judged["measure"] != "missing"
    ):
        return SectionVerdict(state="provisional", why=f"cannot tell of {cannot}", numbers=numbers)
    why = f"{what} drifted: {_list(texts)}" if drifted else f"{what} as in the reference"
    why = f"{why}; cannot tell of {cannot}" if cannot else why
    return SectionVerdict(state="warn" if drifted else "ok", why=why, numbers=numbers)


def _list(names: list[str]) -> str:
    return ", ".join([*names[:5], *([f"{len(names) - 5} more"] if len(names) > 5 else [])])


def _age(config: ModelConfig, covers: list[str], promotion: PromotionRecord) -> int:
    """Batches since the last one that the champion learnt from."""
    return config.calendar.index(covers[-1]) - config.calendar.index(promotion.trained_on[1])


def _reference(stores: Stores, promotion: PromotionRecord) -> Reference:
    return _parse_reference(stores.models.load_promoted(promotion).files[REFERENCE_FILE])


@functools.lru_cache(maxsize=32)
def _parse_reference(content: bytes) -> Reference:
    """The reference in a packed model, which never changes."""
    return Reference.parse(content)
