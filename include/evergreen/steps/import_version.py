"""Import a version that another environment has exported."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady, Refused
from evergreen.features.building import call_predict
from evergreen.features.label_batches import newest_label_batches
from evergreen.features.labelled import blocks_of, gather_features, gather_rows, match_labels
from evergreen.features.packing import packing_folder, record_files
from evergreen.features.signature import example_of, signature_of
from evergreen.features.version_tags import estimator_params
from evergreen.foreign_text import for_markdown
from evergreen.judging.attempts import DueAttempt
from evergreen.judging.champion import predict_labelled
from evergreen.judging.gate import judge
from evergreen.records import ApprovalRecord, AttemptRecord, ClaimRecord, Judgement, PromotionRecord
from evergreen.records.attempts import IMPORT
from evergreen.steps.promote_model import promote_model
from evergreen.storage.exported import ExportedVersion, Manifest
from evergreen.storage.lease import hold_lease
from evergreen.storage.logged_model import Evidence
from evergreen.storage.packed_model import PackedModel, read_files
from evergreen.storage.stores import Stores, stores_of


@dataclass(frozen=True)
class ImportResult:
    """What became of an exported version.

    :param attempt: how it was judged here.
    :param promotion: that it serves; None where it was refused.
    """

    attempt: AttemptRecord
    promotion: PromotionRecord | None


def import_version(model: ModelFolder, at: Locations, exported: ExportedVersion, why: str) -> ImportResult:
    """Take in a version as it is, judge it on this environment's own labels, and put it in force if it passes.

    Its files come into MLflow at once; until labels enough are known that neither it nor the champion has learnt from,
    it waits, and a further call goes on. What was put in force or refused at a batch is not judged again there.

    :param exported: what ``read_export`` returned.
    :param why: who wants it, and why; where only a person may promote, this is their yes.
    :raises Refused: if it is of another model, or the model has other batches or another key here.
    :raises NotReady: if too few labels are known yet, or another process is at it.
    """
    stores, name = stores_of(model, at), f"{IMPORT}{exported.sha256[:16]}"
    _require_like(model, at, exported)
    with hold_lease(at, model.id, name):
        as_of = stores.ledger.last_batch(ClaimRecord, model.config.calendar)
        if as_of is None:
            raise NotReady(f"model {model.id}: no batch was taken in under {at.env} yet; nothing can be judged there")
        champion = stores.ledger.last(PromotionRecord, "champion")
        serving = stores.ledger.get(AttemptRecord, champion.attempt) if champion is not None else None
        if champion is not None and serving is not None and serving.verdict.startswith(f"{name}."):
            # The call that put it in force may have been killed before the alias said so.
            due = DueAttempt(serving.verdict, serving.as_of)
            return ImportResult(serving, promote_model(model, at, due, champion.version))
        run = _log(model, stores, exported, name, as_of)
        attempt = stores.ledger.get(AttemptRecord, f"{name}.{as_of}") or _judge(
            model, stores, exported, name, as_of, champion, run, why
        )
        if attempt.outcome == "refused" or attempt.version is None:
            return ImportResult(attempt, None)
        if not stores.models.pages.has_card(run):
            stores.models.pages.put_card(run, _write_card(exported.manifest, attempt, stores.models.name))
        due = DueAttempt(attempt.verdict, attempt.as_of)
        promoted = promote_model(model, at, due, attempt.version)
        if promoted.attempt != attempt.verdict:
            raise NotReady(
                f"model {model.id}: another version was promoted meanwhile; it is judged anew at a later batch"
            )
        return ImportResult(attempt, promoted)


def describe_imported(model: str, env: str, result: ImportResult) -> Iterator[str]:
    """Say what became of it."""
    attempt, promotion = result.attempt, result.promotion
    if promotion is None:
        yield f"{model}: {env} refuses it at batch {attempt.as_of}: {attempt.why}"
    else:
        serves = f"version {promotion.version} of {env} serves from batch {promotion.effective_from}"
        yield f"{model}: {serves}: {attempt.why}"


def _require_like(model: ModelFolder, at: Locations, exported: ExportedVersion) -> None:
    """Refuse a version that cannot be a version of this model."""
    manifest, config = exported.manifest, model.config
    found = {"model": manifest.model, "schedule.every": manifest.every, "rows.key": manifest.key}
    wanted = {"model": model.id, "schedule.every": config.schedule.every, "rows.key": config.rows.key}
    odd = [f"{name} {found[name]!r}, here {wanted[name]!r}" for name in wanted if found[name] != wanted[name]]
    if odd:
        raise Refused(f"model {model.id}: what was exported has {'; '.join(odd)}: it is a version of another model")
    if manifest.env == at.env:
        raise Refused(
            f"model {model.id}: {at.env} has exported it itself; `evergreen rollback` serves an older version"
        )


def _log(model: ModelFolder, stores: Stores, exported: ExportedVersion, name: str, as_of: str) -> str:
    """The run in MLflow that holds its files; what is put on record of them is what the manifest says."""
    run = stores.models.find_run(name, "champion")
    if run is not None:
        return run
    manifest = exported.manifest
    with packing_folder() as folder:
        _lay(exported, folder)
        record_files(stores, name, as_of, "champion", folder)
        stores.ledger.put(manifest.data)
        packed = PackedModel.open(folder, read_files(folder))
        evidence = Evidence(
            tags={**manifest.tags, "evergreen.verdict": name, "evergreen.as_of": as_of},
            params=packed.spec.model_dump(include={"seed", "window", "lookback"}) | estimator_params(packed.estimator),
            metrics={"learnt_rows": float(manifest.attempt.training_rows)},
            source=stores.lake.table_uri("clean"),
            data=manifest.data.id,
        )
        signature = signature_of(packed.spec.columns)
        example = example_of(packed.spec.columns, model.expectations)
        return stores.models.log_model(name, "champion", folder, signature, example, evidence)


def _lay(exported: ExportedVersion, folder: Path) -> None:
    for name, content in exported.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _judge(
    model: ModelFolder,
    stores: Stores,
    exported: ExportedVersion,
    name: str,
    as_of: str,
    champion: PromotionRecord | None,
    run: str,
    why: str,
) -> AttemptRecord:
    """Judge it as any challenger, and register it if it passes."""
    manifest, config = exported.manifest, model.config
    packed = stores.models.load_run(run, [manifest.hashes])
    holdout, judgement, refusal = _compare(model, stores, packed, manifest.promotion, champion, as_of)
    attempt = f"{name}.{as_of}"
    human = config.labels is None or config.gate.approval == "required"
    told = judgement.gain if judgement is not None else "this model has no labels"
    came = f"promoted from {manifest.env}, version {manifest.version} ({why})"
    version = None
    if refusal is None:
        description = f"{came}: {told}"
        version = stores.models.create_version(run, name, {**manifest.tags, "evergreen.as_of": as_of}, description)
        with packing_folder() as folder:
            _lay(exported, folder)
            record_files(stores, attempt, as_of, "champion", folder)
    record = AttemptRecord(
        as_of=as_of,
        verdict=attempt,
        trained_on=manifest.promotion.trained_on,
        training_rows=manifest.attempt.training_rows,
        data=manifest.data.id,
        code=manifest.promotion.code,
        holdout=tuple(holdout),
        against=champion.number if champion is not None else 0,
        judgement=judgement,
        outcome="refused" if refusal is not None else "needs approval" if human else "passed",
        why=f"{came}: {refusal or told}",
        baseline=manifest.promotion.baseline,
        version=version,
    )
    if record.outcome == "needs approval":
        stores.ledger.put(
            ApprovalRecord(as_of=as_of, attempt=attempt, approved=True, by=why.partition(":")[0], why=why)
        )
    return stores.ledger.put(record)


def _write_card(manifest: Manifest, attempt: AttemptRecord, name: str) -> str:
    """What its card says there, below what is known here."""
    origin = f"{manifest.env}.{manifest.model}"
    known = f"What follows was written of it as version {manifest.version} of {origin}." if manifest.card else ""
    judged = f"Judged here at batch {attempt.as_of}: {attempt.why}."
    return f"{for_markdown(f'Version {attempt.version} of {name}. {judged}')}\n\n{known}\n\n{manifest.card}"


def _compare(
    model: ModelFolder,
    stores: Stores,
    packed: PackedModel,
    origin: PromotionRecord,
    champion: PromotionRecord | None,
    as_of: str,
) -> tuple[list[str], Judgement | None, str | None]:
    """The holdout, the gate's judgement, and why it refuses; against the best constant where nobody serves.

    :raises NotReady: if too few labels are new to both.
    """
    config, schema = model.config, model.config.data_schema
    if schema.labels is None:
        return [], None, None
    learnt = max(origin.trained_on[1], champion.trained_on[1] if champion is not None else "")
    holdout = [one for one in newest_label_batches(schema, stores, as_of, config.gate.min_rows) if one > learnt]
    labelled = match_labels(schema, stores, holdout[0], as_of) if holdout else None
    if labelled is None or len(labelled.rows) < config.gate.min_rows:
        count = len(labelled.rows) if labelled is not None else 0
        raise NotReady(
            f"model {model.id}: {count} labels of {stores.at.env} are new to both, {config.gate.min_rows} are "
            f"needed to judge it there; its files are in MLflow, and nobody is scored by it. Call it again once "
            f"labels after {learnt} are known"
        )
    features, _ = gather_features(schema, stores, packed, labelled)
    new = call_predict(packed, features, f"{labelled.rows['batch'].min()} to {labelled.rows['batch'].max()}")
    if champion is None:
        assert packed.spec.constant is not None
        against, old = f"the constant {packed.spec.constant:.4g}", np.full(len(new), packed.spec.constant)
    else:
        against, old = f"version {champion.version}", predict_labelled(schema, stores, champion, labelled)
    rows = gather_rows(schema, stores, labelled) if config.gate.slices or config.gate.sensitive else pd.DataFrame()
    target = labelled.rows[schema.labels.column].to_numpy(dtype=float)
    judgement, refusal = judge(config.gate, against, target, old, new, blocks_of(labelled), rows)
    return holdout, judgement, refusal
