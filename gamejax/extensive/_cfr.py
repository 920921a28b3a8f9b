"""Counterfactual regret minimization: the family under its usual names.

With `merge`, the default, information sets that nobody can tell apart are played as one (`Merged`):
the same iterates, fewer numbers.
"""

from gamejax.extensive._merged import Merged
from gamejax.learners import (
    AbstractLearner,
    Counterfactual,
    DiscountedRegretMatching,
    PredictiveRegretMatchingPlus,
    RegretMatching,
    RegretMatchingPlus,
)
from gamejax.solvers import AbstractSolver, SelfPlay
from gamejax.solvers._averaging import AbstractAveraging, Linear, Power, Quadratic, Uniform


def _family(
    learner: AbstractLearner, averaging: AbstractAveraging, merge: bool, alternating: bool = True
) -> AbstractSolver:
    solver = SelfPlay(
        Counterfactual(learner), averaging=averaging, alternating=alternating, averaged="next"
    )
    return Merged(solver) if merge else solver


def cfr(*, alternating: bool = True, merge: bool = True) -> AbstractSolver:
    r"""Counterfactual regret minimization: regret matching, uniform averages.

    The exploitability of the averages falls like $1/\sqrt T$.

    References:
        zinkevich2007.
    """
    return _family(RegretMatching(), Uniform(), merge, alternating)


def cfr_plus(*, merge: bool = True) -> AbstractSolver:
    """CFR+: regret matching+, alternating moves, averages that weigh round $t$ by $t$.

    References:
        tammelin2015.
    """
    return _family(RegretMatchingPlus(), Linear(), merge)


def linear_cfr(*, merge: bool = True) -> AbstractSolver:
    """Linear CFR: regrets and averages that weigh round $t$ by $t$.

    References:
        brown2019.
    """
    return _family(DiscountedRegretMatching(1.0, 1.0), Linear(), merge)


def discounted_cfr(
    positive_exponent: float = 1.5,
    negative_exponent: float = 0.0,
    averaging_exponent: float = 2.0,
    *,
    merge: bool = True,
) -> AbstractSolver:
    r"""Discounted CFR with exponents $(\alpha, \beta, \gamma)$.

    References:
        brown2019.
    """
    learner = DiscountedRegretMatching(positive_exponent, negative_exponent)
    return _family(learner, Power(averaging_exponent), merge)


def predictive_cfr_plus(*, merge: bool = True) -> AbstractSolver:
    """PCFR+: predictive regret matching+, alternating moves, quadratic averages.

    References:
        farina2021.
    """
    return _family(PredictiveRegretMatchingPlus(), Quadratic(), merge)
