"""Promoted versions side by side: what each was made of, how it was judged, and how it does."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from evergreen.config.model_folder import ModelFolder
from evergreen.errors import EvergreenError
from evergreen.records import AttemptRecord, PromotionRecord, VerdictRecord
from evergreen.replay.column_bars import tell_number
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import Stores
from evergreen.storage.version_evidence import VersionEvidence, read_evidence

# Batches by which a version's live error is told, and after which their labels are looked for.
_SERVED = 60
_LATER = 30


@dataclass(frozen=True)
class LiveRecord:
    """How a version has done since it serves.

    :param batches: that it scored and whose error is known.
    :param error: its mean over them.
    """

    batches: int
    error: float | None


@dataclass(frozen=True)
class ComparedVersion:
    """One promoted version.

    :param until: the last batch that it was to score; None while it serves.
    :param evidence: what MLflow keeps of it; None where that cannot be read.
    :param problem: why it cannot.
    """

    promotion: PromotionRecord
    attempt: AttemptRecord | None
    until: str | None
    live: LiveRecord
    evidence: VersionEvidence | None
    problem: str = ""


def compare_versions(
    model: ModelFolder, stores: Stores, promotions: list[PromotionRecord], chosen: list[int]
) -> list[ComparedVersion]:
    """What is on record of some versions, oldest first, each of the last time that it came into force.

    :param promotions: all that there are, oldest first.
    :param chosen: the versions.
    """
    newest = {one.version: i for i, one in enumerate(promotions)}
    found = []
    for i in sorted(newest[version] for version in set(chosen) if version in newest):
        promotion, calendar = promotions[i], model.config.calendar
        following = promotions[i + 1] if i + 1 < len(promotions) else None
        until = calendar.shift(following.effective_from, -1) if following is not None else None
        evidence, problem = None, ""
        try:
            evidence = read_evidence(stores, promotion)
        except EvergreenError as error:
            problem = str(error)
        live = _read_live(model, stores.ledger, promotion, until)
        attempt = stores.ledger.get(AttemptRecord, promotion.attempt)
        found.append(ComparedVersion(promotion, attempt, until, live, evidence, problem))
    return found


def _read_live(model: ModelFolder, ledger: Ledger, promotion: PromotionRecord, until: str | None) -> LiveRecord:
    """The errors of the first batches that a version scored, as the newest check has seen each."""
    calendar, first = model.config.calendar, promotion.effective_from
    last = min(until or calendar.shift(first, _SERVED), calendar.shift(first, _SERVED - 1))
    errors: dict[str, float] = {}
    for batch in calendar.between(first, calendar.shift(last, _LATER)) if last >= first else ():
        verdict = ledger.get(VerdictRecord, batch)
        seen = verdict.outcomes.numbers.get("by_batch_scored", {}) if verdict is not None else {}
        errors.update({one: error for one, error in seen.items() if first <= one <= last and error is not None})
    return LiveRecord(len(errors), sum(errors.values()) / len(errors) if errors else None)


def lay_side_by_side(compared: list[ComparedVersion], metric: str) -> dict[str, dict[str, list[str]]]:
    """Facts by group and name, of each version in turn; one that is not known is empty."""
    evidence = [one.evidence for one in compared]
    params = sorted({name for e in evidence if e for name in e.params} - {"window", "features"})
    packages = sorted({name for e in evidence if e for name in e.packages})
    groups = {
        "Service": {
            "Promotion": [str(one.promotion.number) for one in compared],
            "Serves from": [one.promotion.effective_from for one in compared],
            "Serves until": [one.until or "it serves" for one in compared],
            "Came as": [_tell_origin(one) for one in compared],
            f"{metric} live": [_tell_live(one.live) for one in compared],
        },
        "Judgement": _tell_judgements(compared, metric),
        "Data": {
            "Learnt from labels of": [" to ".join(dict.fromkeys(one.promotion.trained_on)) for one in compared],
            "Rows": [tell_number(e.learnt_rows) if e else "" for e in evidence],
            "Window": [_tell_window(e) if e else "" for e in evidence],
            "Data version": [one.promotion.data[:12] for one in compared],
        },
        "Code": {
            "Code version": [one.promotion.code[:12] for one in compared],
            "Features": [str(len(e.spec.features or ())) if e else "" for e in evidence],
            **_tell_features(evidence),
        },
        "Settings": {name: [e.params.get(name, "") if e else "" for e in evidence] for name in params},
        "Packages": {name: [e.packages.get(name, "") if e else "" for e in evidence] for name in packages},
    }
    return {name: facts for name, facts in groups.items() if facts}


def _tell_judgements(compared: list[ComparedVersion], metric: str) -> dict[str, list[str]]:
    judged = [one.attempt.judgement if one.attempt is not None else None for one in compared]
    return {
        f"{metric} on its holdout": [tell_number(one.promotion.error) for one in compared],
        "Judged against": [j.against if j else "" for j in judged],
        f"{metric} of that one": [tell_number(j.champion) if j else "" for j in judged],
        "Expected gain": [f"{j.expected:.1%}" if j else "" for j in judged],
        "Probably worse": [f"{j.worse:.1%}" if j else "" for j in judged],
        "Rows of the holdout": [tell_number(j.rows) if j else "" for j in judged],
        "Why": [one.attempt.why if one.attempt is not None else "" for one in compared],
    }


def diff_code(older: ComparedVersion, newer: ComparedVersion) -> Iterator[str]:
    """Lines of a unified diff of two versions' code; none where it is the same."""
    if older.evidence is None or newer.evidence is None:
        return
    for name, text in newer.evidence.code.items():
        before = older.evidence.code.get(name, "").splitlines()
        one, other = (f"version {version.promotion.version}: {name}" for version in (older, newer))
        yield from difflib.unified_diff(before, text.splitlines(), one, other, lineterm="")


def _tell_origin(one: ComparedVersion) -> str:
    if one.promotion.baseline:
        return "the baseline, a constant"
    if one.attempt is not None and one.attempt.version is not None:
        return "of another environment" if one.attempt.is_import else "a rollback"
    return f"a refresh of promotion {one.promotion.refreshes}" if one.promotion.refreshes else "a new recipe"


def _tell_window(evidence: VersionEvidence) -> str:
    window = evidence.spec.window
    return "all labels" if window == "all" else f"the last {window} label batches"


def _tell_live(live: LiveRecord) -> str:
    if live.error is None:
        return "not known yet"
    return f"{tell_number(live.error)}, mean of {live.batches} {'batch' if live.batches == 1 else 'batches'}"


def _tell_features(evidence: list[VersionEvidence | None]) -> dict[str, list[str]]:
    """The features that not all of the versions have."""
    sets = [set(e.spec.features or ()) for e in evidence if e]
    apart = sorted(name for name in set().union(*sets) if not all(name in one for one in sets))
    return {
        f"Feature {name}": [("yes" if name in (e.spec.features or ()) else "no") if e else "" for e in evidence]
        for name in apart
    }
