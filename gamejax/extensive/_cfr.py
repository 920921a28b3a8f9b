"""Counterfactual regret minimization: the family under its usual names."""

from gamejax.learners import (
    AbstractLearner,
    Counterfactual,
    DiscountedRegretMatching,
    PredictiveRegretMatchingPlus,
    RegretMatching,
    RegretMatchingPlus,
)
from gamejax.solvers import SelfPlay
from gamejax.solvers._averaging import AbstractAveraging, Linear, Power, Quadratic, Uniform


def _family(
    learner: AbstractLearner, averaging: AbstractAveraging, alternating: bool = True
) -> SelfPlay:
    return SelfPlay(
        Counterfactual(learner), averaging=averaging, alternating=alternating, averaged="next"
    )


def cfr(*, alternating: bool = True) -> SelfPlay:
    r"""Counterfactual regret minimization: regret matching, uniform averages.

    The exploitability of the averages falls like $1/\sqrt T$.

    References:
        zinkevich2007.
    """
    return _family(RegretMatching(), Uniform(), alternating)


def cfr_plus() -> SelfPlay:
    """CFR+: regret matching+, alternating moves, averages that weigh round $t$ by $t$.

    References:
        tammelin2015.
    """
    return _family(RegretMatchingPlus(), Linear())


def linear_cfr() -> SelfPlay:
    """Linear CFR: regrets and averages that weigh round $t$ by $t$.

    References:
        brown2019.
    """
    return _family(DiscountedRegretMatching(1.0, 1.0), Linear())


def discounted_cfr(
    positive_exponent: float = 1.5, negative_exponent: float = 0.0, averaging_exponent: float = 2.0
) -> SelfPlay:
    r"""Discounted CFR with exponents $(\alpha, \beta, \gamma)$.

    References:
        brown2019.
    """
    learner = DiscountedRegretMatching(positive_exponent, negative_exponent)
    return _family(learner, Power(averaging_exponent))


def predictive_cfr_plus() -> SelfPlay:
    """PCFR+: predictive regret matching+, alternating moves, quadratic averages.

    References:
        farina2021.
    """
    return _family(PredictiveRegretMatchingPlus(), Quadratic())
