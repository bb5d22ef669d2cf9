"""Retrain when the champion has become worse than it was when it was promoted."""

from include.policies.situation import Situation


class DecayPolicy:
    """Retrain when the outcomes are bad: the error has grown beyond its limit over the holdout error at promotion.

    Performance-triggered retraining as in Gama et al., A Survey on Concept Drift Adaptation, ACM Computing Surveys
    46(4), 2014, section 3.2, with labels judged by arrival.
    """

    def find_reason(self, situation: Situation) -> str | None:
        """``decay`` or nothing."""
        return "decay" if situation.outcomes.state == "bad" else None
