"""When to retrain: each policy a small class that looks at a situation and gives a reason, or none."""

from include.config import contract
from include.policies.decay import DecayPolicy
from include.policies.due import DuePolicy
from include.policies.every import EveryPolicy
from include.policies.input_drift import InputDriftPolicy
from include.policies.never import NeverPolicy
from include.policies.situation import Policy, Situation

__all__ = ["Policy", "Situation", "build_policy", "find_reasons"]


def build_policy(config: contract.Policy) -> Policy:
    """The policy that a config names."""
    match config:
        case contract.Decay():
            return DecayPolicy()
        case contract.InputDrift():
            return InputDriftPolicy()
        case contract.EveryN(n=n):
            return EveryPolicy(n)
        case contract.Due(age=age, new_labels=new_labels):
            return DuePolicy(age, new_labels)
        case contract.Never():
            return NeverPolicy()


def find_reasons(configured: tuple[contract.Policy, ...], situation: Situation) -> tuple[str, ...]:
    """The reasons for which any of the policies asks for a retraining."""
    reasons = [build_policy(one).find_reason(situation) for one in configured]
    return tuple(dict.fromkeys(reason for reason in reasons if reason is not None))
