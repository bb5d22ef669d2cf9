"""The holdout: later labels that neither model was trained on."""

from evergreen.config.contract import ModelConfig
from evergreen.features.label_batches import label_batches, last_label_batches
from evergreen.features.labelled import LabelledRows, match_labels
from evergreen.judging.attempts import holdout_of
from evergreen.judging.gate import too_few_of_a_class
from evergreen.judging.promotions import promotion_decided
from evergreen.storage.stores import Stores


def choose_holdout(config: ModelConfig, stores: Stores, as_of: str) -> tuple[list[str], LabelledRows]:
    """The label batches to judge on, and their rows.

    They are the newest that hold ``gate.min_rows`` rows and a handful of the rarer class. For the class they go no
    further back than to the champion's own labels; without one, to half of all there are.

    :returns: no batch where no labels are known.
    """
    holdout, schema = holdout_of(config, stores, as_of), config.data_schema
    if schema.labels is None or not holdout:
        return holdout, match_labels(schema, stores, holdout[0] if holdout else as_of, as_of)
    champion = promotion_decided(stores.ledger, as_of)
    batches = label_batches(schema, stores, as_of) if champion is None else []
    after = champion.as_of if champion is not None else batches[(len(batches) - 1) // 2]
    while True:
        labelled = match_labels(schema, stores, holdout[0], as_of)
        few = too_few_of_a_class(config.model.task, labelled.rows[schema.labels.column].to_numpy())
        if len(labelled.rows) >= config.gate.min_rows and few is None:
            return holdout, labelled
        earlier = last_label_batches(schema, stores, as_of, 1, before=holdout[0], after=after)
        if not earlier:
            return holdout, labelled
        holdout = [*earlier, *holdout]
