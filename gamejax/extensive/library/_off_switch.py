"""The off-switch game."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from gamejax.extensive._game import SequenceFormGame
from gamejax.extensive._rules import (
    Chance,
    Decide,
    Number,
    State,
    Terminal,
    chance,
    decide,
    terminal,
)
from gamejax.extensive.library._made import made
from gamejax.games import Labels
from gamejax.games.library._checks import require


def off_switch(
    values: Sequence[Number] = (-2, 1, 3),
    probabilities: Sequence[Number] | None = None,
    rationality: float | None = None,
) -> SequenceFormGame:
    r"""The off-switch game: a robot that does not know what its human wants may leave itself open.

    Nature draws the worth $u$ of the robot's plan, which only the human sees. The robot *acts*
    (both get $u$), switches itself *off* (both get 0), or *waits*; then the human lets it *act*
    or switches it *off*. Payoffs are the same for both.

    A rational human lets it act when $u > 0$. Waiting is then worth $E[\max(u, 0)]$, never less
    than $\max(E[u], 0)$, what the robot gets on its own: it gains by leaving the switch alone,
    strictly so when it is unsure of the sign of $u$. A human who errs lets it act with probability
    $1 / (1 + e^{-\beta u})$, and waiting pays only while the robot is unsure enough; see
    `off_switch_incentive`.

    Args:
        values: what the plan may be worth.
        probabilities: of each of them; uniform by default.
        rationality: $\beta \ge 0$ of a human who errs and whose moves are nature's, so that the
            human player has none; `None` for a rational human, who is a player.

    References:
        hadfieldmenell2017.
    """
    values, weights = _belief(values, probabilities)
    require(
        rationality is None or rationality >= 0,
        f"rationality must be at least 0, got {rationality}.",
    )
    labels = Labels("Off-switch game", ("robot", "human"))
    return made(_rules, values, weights, rationality, labels=labels)


def off_switch_incentive(
    values: Sequence[Number] = (-2, 1, 3),
    probabilities: Sequence[Number] | None = None,
    rationality: float | None = None,
) -> float:
    r"""What the robot of `off_switch` gains by waiting.

    $\Delta = E[\pi(u)\, u] - \max(E[u], 0)$ with $\pi$ the probability that the human lets it act:
    $1[u > 0]$, or $1/(1 + e^{-\beta u})$ for a human who errs. Against such a human waiting is the
    only best response where $\Delta > 0$, and none where $\Delta < 0$.

    Args:
        values: what the plan may be worth.
        probabilities: of each of them; uniform by default.
        rationality: $\beta$; `None` for a rational human.

    References:
        hadfieldmenell2017.
    """
    values, weights = _belief(values, probabilities)
    waiting = sum(w * u * _lets(u, rationality) for u, w in zip(values, weights, strict=True))
    acting = sum(w * u for u, w in zip(values, weights, strict=True))
    return float(waiting - max(acting, 0))


def _belief(
    values: Sequence[Number], probabilities: Sequence[Number] | None
) -> tuple[tuple[Number, ...], tuple[Number, ...]]:
    values = tuple(values)
    require(len(values) > 0, "values must name at least one worth of the plan.")
    if probabilities is None:
        probabilities = (Fraction(1, len(values)),) * len(values)
    require(
        len(probabilities) == len(values),
        f"probabilities must be one per value, {len(values)}, got {len(probabilities)}.",
    )
    return values, tuple(probabilities)


def _lets(value: Number, rationality: float | None) -> float:
    """Probability that the human lets a plan of this worth go on."""
    if rationality is None:
        return 1.0 if value > 0 else 0.0
    return 0.5 * (1 + math.tanh(rationality * value / 2))


def _rules(
    values: tuple[Number, ...], weights: tuple[Number, ...], rationality: float | None
) -> Callable[[State], Terminal | Chance | Decide]:
    def rules(state: State) -> Terminal | Chance | Decide:
        if not state:
            labels = [str(value) for value in values]
            return chance([(w, (u,)) for u, w in zip(values, weights, strict=True)], labels=labels)
        value, moves = state[0], state[1:]
        if moves[-1:] in (("act",), ("off",)):
            worth = value if moves[-1] == "act" else 0
            return terminal((worth, worth))
        if not moves:
            return decide(0, "", [(move, (*state, move)) for move in ("act", "off", "wait")])
        after = [(move, (*state, move)) for move in ("act", "off")]
        if rationality is None:
            return decide(1, str(value), after)
        lets = _lets(value, rationality)
        weighted = zip((lets, 1 - lets), after, strict=True)
        return chance([(p, state) for p, (_, state) in weighted], labels=("act", "off"))

    return rules
