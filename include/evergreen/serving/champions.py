"""The versions that answer: the champion as the ledger has it, followed while requests go on; and older ones by name.

Nothing here writes a record, nor moves an alias.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import EvergreenError, ModelIncompatible, ModelNotFound, NotReady
from evergreen.features.building import call_features, call_predict, list_readable_data, read_history
from evergreen.features.generations import missing_columns
from evergreen.features.online import OnlineViews
from evergreen.features.packing import packed_hashes
from evergreen.judging.promotions import promotion_serving
from evergreen.records import ArmsRecord, ClaimRecord, PromotionRecord
from evergreen.serving.arms import Arms
from evergreen.serving.quick_rows import as_numbers, compile_rows
from evergreen.serving.values import Rows, as_frame
from evergreen.storage.columns import find_column
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.stores import open_stores

if TYPE_CHECKING:
    from evergreen.features.contributions import Contributions

_logger = logging.getLogger(__name__)
# Versions beside the champion that are kept in memory.
_NAMED = 4


@dataclass(frozen=True)
class ServedVersion:
    """A version that answers, with all that it needs: nothing but feature views is read for a request.

    :param model: the folder, by whose contract rows come.
    :param version: its number; of a challenger that has none yet, its attempt.
    :param promotion: the number of the promotion that puts it in force; None for a challenger without one.
    :param packed: its code and its estimator.
    :param batch: the batch that is scored next, to which the rows are taken to belong.
    :param history: what its features look back on, as known before that batch.
    :param columns: by each name under which the version reads, the declared column and its type.
    :param views: the feature views that it reads, which alone are asked for at each request.
    :param quick: the same version for arrays of numbers; None where there is no faster way.
    """

    model: ModelFolder
    version: int | str
    promotion: int | None
    packed: PackedModel
    batch: str
    history: pd.DataFrame
    columns: Mapping[str, tuple[str, str]]
    views: OnlineViews
    quick: PackedModel | None = None

    def predict(self, rows: Rows) -> np.ndarray:
        """What the version predicts, by the code that scores batches.

        :param rows: by declared column a value a row.
        :returns: (rows,) predictions, in the rows' order.
        :raises FeaturesInvalid: if the version's own code fails on them.
        :raises Outage: if the online store of its feature views does not answer.
        """
        features = self._build(rows)
        if self.quick is not None and (numbers := as_numbers(features)) is not None:
            return call_predict(self.quick, numbers, self.batch, given_away=True)
        return call_predict(self.packed, features, self.batch, given_away=True)

    def explain(self, rows: Rows) -> "tuple[list[str], Contributions]":
        """What each feature brings to what the version predicts. Parameters and errors: as of ``predict``.

        :returns: the features' names, and what they bring.
        :raises Refused: if it cannot be told.
        """
        from evergreen.features.contributions import explain_rows

        features = self._build(rows)
        return [str(name) for name in features.columns], explain_rows(self.packed, features, self.batch)

    def _build(self, rows: Rows) -> pd.DataFrame:
        frame = self.views.join(as_frame(rows, self.columns))
        return call_features(self.packed, frame, self.history, self.batch, given_away=True)


class Champion:
    """The version of one model that answers, which a follower keeps new.

    :param model: its folder.
    :param at: where the deployment keeps its state.
    """

    def __init__(self, model: ModelFolder, at: Locations) -> None:
        self.model = model
        self._at = at
        self._stores = open_stores(at, model.id)
        self._named: dict[int, ServedVersion] = {}
        self._lock = threading.Lock()
        # Read once a request, and replaced as a whole: a request that has begun ends with the version that it met.
        self.current: ServedVersion | None = None
        # Who else answers; None where the champion does alone.
        self.arms: Arms | None = None
        # Why a newer version does not answer; empty where the champion does.
        self.trouble = "it was not looked for yet"

    def follow(self) -> None:
        """Let the champion of the ledger answer from now on; where it cannot, who answered before goes on."""
        try:
            with self._lock:
                self._follow()
                if self.model.config.serving.experiments:
                    self._follow_arms()
        except EvergreenError as error:
            if str(error) != self.trouble:
                _logger.warning("model %s: %s; %s", self.model.id, error, self._tell_instead())
            self.trouble = str(error)
        else:
            self.trouble = ""

    def require(self, version: int | None = None) -> ServedVersion:
        """The version that is to answer.

        :param version: one by its number; None for the champion.
        :raises NotReady: if no version can answer.
        :raises ModelNotFound: if the version was never promoted.
        :raises ModelIncompatible: if it cannot be loaded.
        """
        current = self.current
        if current is None:
            raise NotReady(f"model {self.model.id}: no version answers: {self.trouble}")
        if version is None or version == current.version:
            return current
        with self._lock:
            named = self._named.pop(version, None)
            if named is None or named.batch != current.batch:
                named = self._prepare(self._find(version), current.batch)
            # The one that was asked for last stands last; those that nobody asks for any more go.
            self._named[version] = named
            for other in list(self._named)[:-_NAMED]:
                del self._named[other]
            return named

    def _follow(self) -> None:
        calendar, ledger = self.model.config.calendar, self._stores.ledger
        claimed = ledger.last_batch(ClaimRecord, calendar)
        batch = calendar.shift(claimed, 1) if claimed is not None else calendar.name(0)
        promotion = promotion_serving(ledger, batch)
        if promotion is None:
            raise NotReady("no version was promoted yet; it serves from its first promotion on")
        current = self.current
        if current is not None and (promotion.number, batch) == (current.promotion, current.batch):
            return
        self.current = self._prepare(promotion, batch)
        if current is None or current.promotion != promotion.number:
            _logger.info("model %s: version %s answers", self.model.id, promotion.version)

    def _follow_arms(self) -> None:
        """Obey the newest record of who answers beside the champion; a challenger that cannot be loaded does not."""
        current, record, arms = self.current, self._stores.ledger.last(ArmsRecord, "online"), self.arms
        if current is None or record is None or record.state != "running":
            self.arms = None
            return
        if arms is not None and (arms.experiment, arms.challenger.batch) == (record.experiment, current.batch):
            challenger = arms.challenger
        else:
            try:
                challenger = self._load_challenger(record, current.batch)
            except EvergreenError:
                self.arms = None
                raise
        self.arms = Arms(record.n, record.experiment, current, challenger, record.share)

    def _load_challenger(self, record: ArmsRecord, batch: str) -> ServedVersion:
        if record.version is not None:
            return self._prepare(self._find(record.version), batch)
        models = self._stores.models
        run = models.find_run(record.challenger, "challenger")
        if run is None:
            raise ModelNotFound(f"the challenger of attempt {record.challenger} is gone from MLflow")
        packed = models.load_run(run, packed_hashes(self._stores, record.challenger, "challenger"))
        return self._furnish(packed, record.challenger, None, batch)

    def _prepare(self, promotion: PromotionRecord, batch: str) -> ServedVersion:
        """Load a version and what it looks back on, before any request waits for it."""
        packed = self._stores.models.load_promoted(promotion)
        return self._furnish(packed, promotion.version, promotion.number, batch)

    def _furnish(self, packed: PackedModel, version: int | str, promotion: int | None, batch: str) -> ServedVersion:
        """Read what a loaded version looks back on."""
        today = self.model.config.data_schema
        mine = packed.spec.data_schema(today)
        if unknown := missing_columns(today, mine):
            raise ModelIncompatible(f"version {version} reads {', '.join(unknown)}, as config.yaml does not say")
        data, _ = list_readable_data(today, self._stores, batch, packed.spec.lookback)
        history = read_history(mine, self._stores, data, batch)
        columns = {
            name: (str(find_column(name, column, today.columns)), column.type) for name, column in mine.columns.items()
        }
        views = OnlineViews.open(self._stores, packed.spec.views, mine, batch)
        quick = compile_rows(packed)
        return ServedVersion(self.model, version, promotion, packed, batch, history, columns, views, quick)

    def _find(self, version: int) -> PromotionRecord:
        found = [one for one in self._stores.ledger.all(PromotionRecord, "champion") if one.version == version]
        if not found:
            raise ModelNotFound(f"model {self.model.id}: version {version} was never promoted")
        return found[-1]

    def _tell_instead(self) -> str:
        current = self.current
        return f"version {current.version} answers as before" if current is not None else "nobody answers"


def follow_all(champions: Iterable[Champion], seconds: float, ended: threading.Event) -> None:
    """Follow the ledger until it is ended; what is not foreseen is logged, and the next round begins.

    :param seconds: between two rounds.
    """
    followed = list(champions)
    while not ended.wait(seconds):
        for champion in followed:
            try:
                champion.follow()
            except Exception:
                _logger.exception("model %s: the ledger could not be followed", champion.model.id)
