"""Two replays of the same span, compared: whether the live predictions became better or worse."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from evergreen.config.contract import ModelConfig
from evergreen.config.fields import ColumnType
from evergreen.config.gate_config import GateConfig
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotComparable, NotReady
from evergreen.features.labelled import LabelledRows, gather_rows, match_labels
from evergreen.judging.champion import predictions_of
from evergreen.judging.gate import judge
from evergreen.judging.uncertainty import MeanInterval, block_mean, two_sided
from evergreen.losses import METRICS
from evergreen.records import ClaimRecord, Judgement
from evergreen.replay.history import History
from evergreen.replay.measured_history import collect_history
from evergreen.storage.columns import find_column
from evergreen.storage.stores import stores_of

Outcome = Literal["better", "equal", "worse"]
_LEAST = 4
# Of the two-sided interval of the difference.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Side:
    """One of two replays.

    :param name: how it is called in what is told.
    :param model: the folder, as it is replayed.
    :param at: where it is replayed.
    :param folder: holds its state and its report.
    """

    name: str
    model: ModelFolder
    at: Locations
    folder: Path

    @property
    def report(self) -> Path:
        """Where what it did is written."""
        return self.folder / "report.html"


@dataclass(frozen=True)
class Comparison:
    """What two replays of one span say.

    :param base: what the replay of the old folder did.
    :param change: what the replay of the new one did.
    :param names: what the two are called.
    :param reports: where what they did is written.
    :param changed: what differs between the folders.
    :param outcome: of the live predictions of the change against those of the base.
    :param why: the reason where it is not the interval of the mean.
    :param gate: the change's, with metric and minimum effect.
    :param judgement: both on the rows that both scored; None if there are none.
    :param interval: of the improvement, relative to the base's loss; None where there is no judgement.
    :param batches: those in which both scored a row with a known label.
    """

    base: History
    change: History
    names: tuple[str, str]
    reports: tuple[Path, Path]
    changed: tuple[str, ...]
    outcome: Outcome
    why: str
    gate: GateConfig
    judgement: Judgement | None
    interval: MeanInterval | None
    batches: tuple[str, ...]


def key_of(config: ModelConfig) -> dict[str, ColumnType]:
    """The columns that name a row."""
    return {name: config.rows.columns[name] for name in config.rows.key}


def compare_replays(base: Side, change: Side, first: str, last: str) -> Comparison:
    """Compare the predictions that two replays made for the same rows, paired, by blocks of batches.

    Losses are those of the change's metric on the labels that its replay knew at the end of the span. Rows that only
    one of them scored are not judged.

    :param first: first batch of the span that both have replayed.
    :param last: its last batch.
    """
    config, gate = change.model.config, change.model.config.gate
    histories = (
        collect_history(base.model, base.at, first, last),
        collect_history(change.model, change.at, first, last),
    )
    labelled = _match(change, first, last)
    pairs = labelled.rows.merge(_predictions(change, config, first, last), on=[*config.rows.key, "batch"]).merge(
        _predictions(base, config, first, last), on=[*config.rows.key, "batch"], suffixes=("", "_before")
    )
    judgement, interval = None, None
    if len(pairs):
        blocks = group_blocks(pairs["batch"].to_numpy(), min(_count_champions(one, pairs) for one in histories))
        judgement, interval = _judge(change, replace(labelled, rows=pairs), blocks)
    outcome, why = conclude(gate, histories, judgement, interval)
    return Comparison(
        *histories,
        names=(base.name, change.name),
        reports=(base.report, change.report),
        changed=_differences(base.model, change.model),
        outcome=outcome,
        why=why,
        gate=gate,
        judgement=judgement,
        interval=interval,
        batches=tuple(sorted(set(pairs["batch"]))),
    )


def conclude(
    gate: GateConfig,
    histories: tuple[History, History],
    judgement: Judgement | None,
    interval: MeanInterval | None,
) -> tuple[Outcome, str]:
    """Better or worse is what lies beyond noise and is at least the minimum effect; all else is equal.

    A declared slice that is worse beyond its limit makes the whole worse, as at the gate.

    :returns: the outcome, and its reason where that is not the interval of the mean.
    :raises NotComparable: if neither has scored a row whose label is known.
    """
    if judgement is None or interval is None:
        base, change = (sum(one.labelled for one in history.batches) for history in histories)
        if not base and not change:
            span = [one.batch for one in histories[1].batches]
            raise NotComparable(
                f"model {histories[1].model}: no row that was scored in {' to '.join(span[:1] + span[-1:])} "
                "has a known label, in either replay; say an earlier --from, or --landing"
            )
        if change and base:
            return "equal", "no row was scored by both: nothing can be told"
        return ("better", "the base scored no row") if change else ("worse", "the change scored no row")
    if interval.upper < 0 and interval.mean <= -gate.min_effect:
        return "worse", ""
    lost = [one for one in judgement.slices if not one.passed]
    if lost:
        texts = [f"{one.column}={one.value} is worse by {one.worse_by:.1%}" for one in lost[:3]]
        return "worse", "; ".join(texts + ([f"{len(lost) - 3} more"] if len(lost) > 3 else []))
    return ("better" if interval.lower > 0 and interval.mean >= gate.min_effect else "equal"), ""


def group_blocks(batches: np.ndarray, champions: int) -> np.ndarray:
    """Consecutive batches in blocks of nearly equal size, one for each champion, at least four.

    The difference between two folders lasts as long as the two versions that show it: batches that one pair of
    champions scored are no independent evidence, and an interval over single batches is far too narrow. Student's t
    over blocks of consecutive batches holds where the blocks are long enough (Ibragimov and Mueller, see
    ``lower_bound``). Below four of them it would tell nothing.

    :param batches: (n,) the batch of each row.
    :param champions: versions that scored them, on the side that had fewer.
    :returns: (n,) the block of each row.
    """
    names, index = np.unique(batches, return_inverse=True)
    count = min(len(names), max(_LEAST, champions))
    blocks = np.repeat(np.arange(count), [len(part) for part in np.array_split(names, count)])
    return blocks[index]


def _count_champions(history: History, pairs: pd.DataFrame) -> int:
    """Versions that scored the rows that are compared."""
    batches = set(pairs["batch"])
    return len({one.claim.version for one in history.batches if one.claim is not None and one.batch in batches})


def _judge(change: Side, labelled: LabelledRows, blocks: np.ndarray) -> tuple[Judgement, MeanInterval]:
    """The gate's own judgement of base and change, and the two-sided interval of the improvement.

    :param blocks: (n,) the block of each row.
    """
    config, pairs = change.model.config, labelled.rows
    assert config.labels is not None
    gate, metric = config.gate, METRICS[config.gate.metric]
    target, old, new = (
        pairs[name].to_numpy(dtype=float) for name in (config.labels.column, "prediction_before", "prediction")
    )
    rows = (
        gather_rows(config.data_schema, stores_of(change.model, change.at), labelled)
        if gate.slices or gate.sensitive
        else pairs
    )
    judgement, _ = judge(gate, "base", target, old, new, blocks, rows)
    before, now = metric.row_losses(target, old), metric.row_losses(target, new)
    interval = two_sided((before - now) / (block_mean(before, blocks) or 1.0), blocks, CONFIDENCE)
    return judgement, interval


def _match(side: Side, first: str, last: str) -> LabelledRows:
    """The labels that a replay knew at the end of its span."""
    schema = side.model.config.data_schema
    # What was predicted counts, whatever else the schema asks of a row.
    schema = replace(schema, columns=schema.key_columns)
    return match_labels(schema, stores_of(side.model, side.at), first, last)


def _predictions(side: Side, config: ModelConfig, first: str, last: str) -> pd.DataFrame:
    """What a replay predicted as it went: key, batch, prediction, the key under the names of a config."""
    own, stores = side.model.config, stores_of(side.model, side.at)
    names = {find_column(name, column, key_of(own)): name for name, column in key_of(config).items()}
    made = [pd.DataFrame({name: pd.Series(dtype=object) for name in (*config.rows.key, "batch", "prediction")})]
    for batch in own.calendar.between(first, last):
        claim = stores.ledger.last(ClaimRecord, batch)
        if claim is None or claim.version is None:
            continue
        try:
            rows = predictions_of(own.data_schema, stores, claim)
        except NotReady:
            # It was claimed and has no row.
            continue
        made.append(rows[[*own.rows.key, "prediction"]].rename(columns=names).assign(batch=batch))
    return pd.concat(made[1:] or made, ignore_index=True)


def _differences(base: ModelFolder, change: ModelFolder) -> tuple[str, ...]:
    """What differs between two folders: parts of config.yaml, and files."""
    parts = [name for name in ModelConfig.model_fields if getattr(base.config, name) != getattr(change.config, name)]
    found = [f"config.yaml ({', '.join(parts)})"] if parts else []
    found += ["expectations.yaml"] if base.expectations != change.expectations else []
    return tuple(found + [name for name, code in change.code.items() if base.code.get(name) != code])
