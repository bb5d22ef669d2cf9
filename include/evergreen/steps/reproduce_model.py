"""Reproduce a version."""

from collections.abc import Iterator
from importlib.metadata import version as installed

import numpy as np

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused
from evergreen.features.building import call_predict
from evergreen.features.packing import FittedModel, packing_folder, rebuild_model
from evergreen.judging.promotions import require_promoted
from evergreen.records import AttemptRecord, ClaimRecord, DataRecord, PromotionRecord, ReproductionRecord
from evergreen.storage.packed_model import PackedModel, hash_parameters, read_files
from evergreen.storage.removals import require_kept
from evergreen.storage.stores import Stores, stores_of
from evergreen.storage.version_evidence import read_evidence


def reproduce_model(model: ModelFolder, at: Locations, version: int, why: str) -> ReproductionRecord:
    """Fit a promoted version once more, aside, from its recorded rows, packed code and seed, and compare the two.

    Nothing is registered. What came of it goes on record, but not twice in a row.

    :param version: which.
    :param why: who wants to know, and why.
    :raises ModelNotFound: if there is no such promoted version, naming those that there are.
    :raises ModelIncompatible: if its files are gone, or are not those on record.
    :raises RowsRemoved: if rows that it learnt from were forgotten, or removed by retention.
    :raises SourceChanged: if rows that it learnt from are not those on record, naming the batch.
    """
    stores = stores_of(model, at)
    promotion = require_promoted(stores, version)
    attempt = stores.ledger.require(AttemptRecord, promotion.attempt)
    if attempt.is_import:
        raise Refused(f"model {model.id}: version {version} was {attempt.why}; its rows are there: reproduce it there")
    learnt = stores.ledger.require(DataRecord, promotion.data).partitions
    require_kept(stores.ledger, learnt, f"model {model.id}: version {version} cannot be fitted once more")
    served = stores.models.load_promoted(promotion)
    with packing_folder() as folder:
        fitted = rebuild_model(model, stores, promotion, folder)
        # Loaded as the version was: skops keeps some values in another type.
        again = PackedModel.open(folder, read_files(folder))
    parameters = hash_parameters(again.estimator)
    differs = [*_compare_parameters(served, again, parameters), *_compare_predictions(served, again, fitted)]
    others = _compare_packages(stores, promotion)
    if differs and fitted.data.id != promotion.data:
        differs.append(f"the rows differ: data version {promotion.data} before, {fitted.data.id} now")
    if differs and not others:
        others = ["the packages are those that packed it: look for what draws at random without the seed"]
    last = list(stores.ledger.all(ReproductionRecord, str(version)))
    record = ReproductionRecord(
        as_of=stores.ledger.last_batch(ClaimRecord, model.config.calendar) or promotion.as_of,
        version=version,
        n=len(last),
        equal=not differs,
        rows=len(fitted.features),
        parameters=parameters,
        found=(*differs, *others),
        why=why,
    )
    same = {"as_of", "n", "why", "meta"}
    if last and last[-1].model_dump(exclude=same) == record.model_dump(exclude=same):
        return last[-1]
    return stores.ledger.put(record)


def describe_reproduced(model: str, record: ReproductionRecord) -> Iterator[str]:
    """Say what came of it."""
    named = f"{model}: version {record.version} is"
    if record.equal:
        what = f"parameters sha1 {record.parameters[:12]}, and predictions on {record.rows} rows byte for byte"
        yield f"{named} reproduced: equal, {what}"
    else:
        yield f"{named} not reproduced"
    yield from (f"  {text}" for text in record.found)


def _compare_parameters(served: PackedModel, again: PackedModel, parameters: str) -> Iterator[str]:
    before = hash_parameters(served.estimator)
    if before != parameters:
        yield f"the parameters differ: sha1 {before[:12]} before, {parameters[:12]} now"
    then, now = (one.spec.model_dump(mode="json") for one in (served, again))
    for name in then:
        if then[name] != now[name]:
            yield f"{name} was {then[name]}, is {now[name]}"


def _compare_predictions(served: PackedModel, again: PackedModel, fitted: FittedModel) -> Iterator[str]:
    then, now = (call_predict(one, fitted.features, "of its training") for one in (served, again))
    differ = int((then.view(np.int64) != now.view(np.int64)).sum())
    if differ:
        yield f"predictions on {differ} of {len(then)} rows differ, by at most {np.abs(then - now).max():.3g}"


def _compare_packages(stores: Stores, promotion: PromotionRecord) -> list[str]:
    """The packages that are not those that a version was fitted with."""
    packed = read_evidence(stores, promotion).packages
    return [
        f"{name} {then} packed it, {now} is installed"
        for name, then in packed.items()
        if (now := installed(name)) != then
    ]
