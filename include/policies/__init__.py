"""When to retrain: each policy a small class that looks at a situation and gives a reason, or none."""

from collections.abc import Callable, Collection, Iterable

from include.config import policies as config
from include.config.fields import Contract
from include.policies.adwin import AdwinPolicy
from include.policies.cara import CaraPolicy
from include.policies.code_changed import CodeChangedPolicy
from include.policies.cusum import CusumPolicy
from include.policies.decay import DecayPolicy
from include.policies.due import DuePolicy
from include.policies.every import EveryPolicy
from include.policies.input_drift import InputDriftPolicy
from include.policies.never import NeverPolicy
from include.policies.refilled import RefilledPolicy
from include.policies.situation import ArrivedLosses, Policy, Situation
from include.policies.uniform import UniformPolicy

__all__ = ["ArrivedLosses", "Policy", "Situation", "build_policy", "find_evidence", "find_reasons"]


_CLASSES: dict[type[Contract], Callable[..., Policy]] = {
    config.Never: NeverPolicy,
    # By how much worse is asked of the outcomes, which a check measures whatever the policy.
    config.Decay: lambda worse_by: DecayPolicy(),
    config.InputDrift: InputDriftPolicy,
    config.EveryN: EveryPolicy,
    config.Uniform: UniformPolicy,
    config.Due: DuePolicy,
    config.Cusum: CusumPolicy,
    config.Adwin: AdwinPolicy,
    config.Cara: CaraPolicy,
    config.CodeChanged: CodeChangedPolicy,
    config.Refilled: RefilledPolicy,
}


def build_policy(policy: config.Single) -> Policy:
    """The policy that a config names."""
    return _CLASSES[type(policy)](**policy.model_dump(exclude={"policy"}))


def find_reasons(
    policies: Iterable[config.Policy], situation: Situation, without: Collection[str] = ()
) -> tuple[str, ...]:
    """The reasons for which any of the policies asks for a retraining, each once.

    :param without: reasons that do not count.
    """
    found = [reason for policy in policies for reason in _ask(policy, situation, without)]
    return tuple(dict.fromkeys(found))


def find_evidence(policies: Iterable[config.Policy], situation: Situation) -> tuple[str, ...]:
    """What the policies measure, decay or drift, whether or not they then ask for a retraining."""
    return tuple(one for one in find_reasons(config.each_single(policies), situation) if one in ("decay", "drift"))


def _ask(policy: config.Policy, situation: Situation, without: Collection[str]) -> tuple[str, ...]:
    match policy:
        case config.AnyOf(of=members):
            return find_reasons(members, situation, without)
        case config.AllOf(of=members):
            found = [_ask(one, situation, without) for one in members]
            return tuple(reason for reasons in found for reason in reasons) if all(found) else ()
        case _:
            reason = build_policy(policy).find_reason(situation)
            return (reason,) if reason is not None and reason not in without else ()
