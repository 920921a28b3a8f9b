"""Three and more players."""

import itertools
import math
from collections.abc import Callable

import numpy as np

from gamejax.games._base import Labels
from gamejax.games._congestion import CongestionGame
from gamejax.games._normal_form import NormalFormGame
from gamejax.games._symmetric import SymmetricGame
from gamejax.games.library._checks import numbers, require
from gamejax.games.library._registry import classic


def _labels(title: str, num_players: int, actions: tuple[str, ...]) -> Labels:
    return Labels(title, numbers(1, num_players + 1), (actions,) * num_players)


def _orders(*plays: int) -> list[tuple[int, ...]]:
    """All different orders of a list of actions."""
    return sorted(set(itertools.permutations(plays)))


def _root(function: Callable[[float], float]) -> float:
    """The zero in [0, 1] of a decreasing function, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return low


@classic(((0.5, 0.5),) * 3, complete=True)
def jordan() -> NormalFormGame:
    """Jordan's game, matching pennies among three players, on which many dynamics cycle.

    Player 1 gains 1 by matching player 2, player 2 by matching player 3, player 3 by not matching
    player 1; otherwise each loses 1.

    Equilibria: all uniform, the only one.

    References:
        jordan1993.
    """
    a, b, c = np.indices((2, 2, 2))
    payoffs = 2 * np.stack([a == b, b == c, c != a]) - 1
    labels = _labels("Jordan's game", 3, ("heads", "tails"))
    return NormalFormGame(payoffs, labels=labels)


_GO = _root(lambda p: sum(math.comb(4, k) * p**k * (1 - p) ** (4 - k) for k in range(3)) - 0.5)


@classic(*_orders(0, 0, 0, 1, 1), ((_GO, 1 - _GO),) * 5)
def el_farol(num_players: int = 5, capacity: int = 3) -> SymmetricGame:
    """The El Farol bar: going gains 1 up to `capacity` guests and costs 1 beyond; staying gains 0.

    Equilibria: exactly `capacity` players go (all the pure ones); all go with the probability at
    which the bar is too full for one more in half of the cases; others in which some players are
    certain to go or to stay.

    Raises:
        ValueError: unless 0 < capacity < num_players.

    References:
        arthur1994.
    """
    require(
        0 < capacity < num_players,
        f"el_farol needs 0 < capacity < num_players, got {capacity} and {num_players}.",
    )

    def payoff(action: int, counts: np.ndarray) -> float:
        return 0 if action == 1 else 1 if counts[0] < capacity else -1

    labels = _labels("El Farol bar", num_players, ("go", "stay"))
    return SymmetricGame.from_function(payoff, num_players, 2, labels=labels)


@classic(*_orders(0, 0, 1), *_orders(0, 1, 1), ((0.5, 0.5),) * 3)
def minority_game(num_players: int = 3) -> SymmetricGame:
    """The minority game: an odd number of players choose a side, those on the smaller one gain 1.

    Equilibria: any split as even as possible (all the pure ones), all uniform, and others; with
    three players also whatever the third does while two are on different sides.

    Raises:
        ValueError: unless `num_players` is odd and at least 3.

    References:
        challet1997.
    """
    require(
        num_players >= 3 and num_players % 2 == 1,
        f"num_players must be odd and at least 3, got {num_players}.",
    )

    def payoff(action: int, counts: np.ndarray) -> float:
        return float(2 * (counts[action] + 1) < num_players)

    labels = _labels("Minority game", num_players, ("left", "right"))
    return SymmetricGame.from_function(payoff, num_players, 2, labels=labels)


@classic((1, 1, 1, 1), complete=True)
def public_goods(num_players: int = 4, multiplier: float = 2) -> SymmetricGame:
    """The public goods game: contributions of 1 are multiplied and shared by all.

    Equilibria: nobody contributes, the only one (keeping dominates), though all would gain
    multiplier - 1 each if all contributed.

    Raises:
        ValueError: unless 1 < multiplier < num_players.
    """
    require(
        1 < multiplier < num_players,
        f"public_goods needs 1 < multiplier < num_players, got {multiplier} and {num_players}.",
    )

    def payoff(action: int, counts: np.ndarray) -> float:
        return multiplier * (counts[0] + (action == 0)) / num_players - (action == 0)

    labels = _labels("Public goods", num_players, ("contribute", "keep"))
    return SymmetricGame.from_function(payoff, num_players, 2, labels=labels)


@classic(
    *_orders(0, 1, 1),
    *itertools.permutations([(0.75, 0.25), (0.75, 0.25), (0.0, 1.0)]),
    ((0.5, 0.5),) * 3,
    complete=True,
)
def volunteers_dilemma(num_players: int = 3, benefit: float = 4, cost: float = 1) -> SymmetricGame:
    """The volunteer's dilemma: everybody gains if anybody bears the cost.

    Equilibria: for each set of at least two players, these abstain with probability
    (cost / benefit) ** (1 / (size - 1)) and the others for sure; and one volunteer alone. The more
    players, the likelier that nobody volunteers.

    Raises:
        ValueError: unless num_players >= 2 and 0 < cost < benefit.

    References:
        diekmann1985.
    """
    require(
        num_players >= 2 and 0 < cost < benefit,
        "volunteers_dilemma needs num_players >= 2 and 0 < cost < benefit, "
        f"got {num_players}, {cost}, {benefit}.",
    )

    def payoff(action: int, counts: np.ndarray) -> float:
        return benefit - cost if action == 0 else benefit * float(counts[0] > 0)

    labels = _labels("Volunteer's dilemma", num_players, ("volunteer", "abstain"))
    return SymmetricGame.from_function(payoff, num_players, 2, labels=labels)


@classic(*_orders(0, 0, 0, 1), *_orders(0, 0, 1, 1), ((2 / 3, 1 / 3),) * 4)
def market_entry(num_players: int = 4, capacity: int = 3) -> SymmetricGame:
    """Market entry: k entrants gain capacity - k each, those who stay out 0.

    Equilibria: `capacity` or `capacity` - 1 players enter (all the pure ones); all enter with
    probability (capacity - 1) / (num_players - 1); others.

    Raises:
        ValueError: unless 1 <= capacity < num_players.

    References:
        selten1982.
    """
    require(
        1 <= capacity < num_players,
        f"market_entry needs 1 <= capacity < num_players, got {capacity} and {num_players}.",
    )

    def payoff(action: int, counts: np.ndarray) -> float:
        return float(capacity - counts[0] - 1) if action == 0 else 0

    labels = _labels("Market entry", num_players, ("enter", "stay out"))
    return SymmetricGame.from_function(payoff, num_players, 2, labels=labels)


@classic((1, 1, 1, 1), complete=True)
def diners_dilemma(
    num_players: int = 4, extra_joy: float = 1, extra_cost: float = 2
) -> SymmetricGame:
    """The diner's dilemma: guests order a cheap or an expensive meal and share the bill equally.

    The expensive meal gives `extra_joy` more and costs the table `extra_cost` more; the cheap one
    counts as 0.

    Equilibria: all order the expensive meal, the only one (it dominates), though all would rather
    not.

    Raises:
        ValueError: unless extra_cost / num_players < extra_joy < extra_cost.

    References:
        glance1994.
    """
    require(
        extra_cost / num_players < extra_joy < extra_cost,
        "diners_dilemma needs extra_cost / num_players < extra_joy < extra_cost, "
        f"got {extra_cost}, {num_players}, {extra_joy}.",
    )

    def payoff(action: int, counts: np.ndarray) -> float:
        return extra_joy * action - extra_cost * (counts[1] + action) / num_players

    labels = _labels("Diner's dilemma", num_players, ("cheap", "expensive"))
    return SymmetricGame.from_function(payoff, num_players, 2, labels=labels)


@classic((3, 3, 3), *_orders(2, 3, 4))
def tragedy_of_the_commons(
    num_players: int = 3, capacity: int = 12, largest: int = 5
) -> SymmetricGame:
    """The tragedy of the commons: each animal gains max(capacity - all animals, 0) for its owner.

    Actions are herds of 0 to `largest`.

    Equilibria of the default: herds of 3 each, and of 2, 3 and 4 in any order (all the pure ones),
    9 animals in all where 6 would gain the herders together the most. Herds of 6 or more would add
    equilibria in which the commons are worth nothing.

    Raises:
        ValueError: unless all arguments are at least 1.

    References:
        hardin1968.
    """
    require(
        min(num_players, capacity, largest) >= 1,
        f"the arguments must be at least 1, got {num_players}, {capacity}, {largest}.",
    )
    herds = np.arange(largest + 1)

    def payoff(action: int, counts: np.ndarray) -> float:
        return float(action * max(capacity - action - counts @ herds, 0))

    labels = _labels("Tragedy of the commons", num_players, numbers(largest + 1))
    return SymmetricGame.from_function(payoff, num_players, largest + 1, labels=labels)


@classic((0, 0, 0))
def guess_two_thirds(num_players: int = 3, highest: int = 5) -> SymmetricGame:
    """The beauty contest: guess two thirds of the average guess; the closest share a prize of 1.

    Actions are the guesses 0 to `highest`.

    Equilibria of the default: all guess 0, the only pure one. For other numbers of players all
    guessing 1 may be another.

    Raises:
        ValueError: unless num_players >= 2 and highest >= 1.

    References:
        nagel1995.
    """
    require(
        num_players >= 2 and highest >= 1,
        "guess_two_thirds needs num_players >= 2 and highest >= 1, "
        f"got {num_players} and {highest}.",
    )
    guesses = np.arange(highest + 1)

    def payoff(action: int, counts: np.ndarray) -> float:
        plays = counts + (guesses == action)
        # Whole numbers, so that ties are exact: 3 m |guess - 2/3 mean|.
        distance = abs(3 * num_players * guesses - 2 * (plays @ guesses))
        closest = distance == distance[plays > 0].min()
        return float(closest[action] / plays[closest].sum())

    labels = _labels("Guess two thirds of the average", num_players, numbers(highest + 1))
    return SymmetricGame.from_function(payoff, num_players, highest + 1, labels=labels)


@classic((2, 2, 2, 2), complete=True)
def braess(num_players: int = 4, *, shortcut: bool = True) -> CongestionGame:
    """Braess's paradox: a free shortcut makes everybody slower.

    From start to end by A (40 k / num_players to A with k drivers, then 45) or by B (45 to B, then
    40 k / num_players); the shortcut leads from A to B in no time, making a third route.

    Equilibria: all take the shortcut, the only one (it dominates), 80 for everybody. Without it,
    an even number of players divides evenly in every pure equilibrium, 65 for everybody.

    Raises:
        ValueError: unless `num_players` is at least 1.

    References:
        braess1968.
    """
    require(num_players >= 1, f"num_players must be at least 1, got {num_players}.")
    crowded = [40 * k / num_players for k in range(1, num_players + 1)]
    delays = [crowded, [45] * num_players, [45] * num_players, crowded, [0] * num_players]
    routes = [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [1, 0, 0, 1, 1]][: 2 + shortcut]
    labels = _labels("Braess's paradox", num_players, ("by A", "by B", "shortcut")[: len(routes)])
    return CongestionGame(delays, [routes] * num_players, labels=labels)


@classic((0, 0, 0, 0), *_orders(0, 0, 0, 1))
def pigou(num_players: int = 4, degree: float = 1) -> CongestionGame:
    """Pigou's example: a link with delay (k / num_players) ** degree beside one with delay 1.

    Equilibria: all take the first link, or all but one (all the pure ones); their delays are 1,
    where dividing would be better. The price of anarchy grows with `degree`.

    Raises:
        ValueError: unless num_players >= 1 and degree > 0.

    References:
        pigou1920.
    """
    require(
        num_players >= 1 and degree > 0,
        f"pigou needs num_players >= 1 and degree > 0, got {num_players} and {degree}.",
    )
    loads = range(1, num_players + 1)
    delays = [[(k / num_players) ** degree for k in loads], [1.0] * num_players]
    labels = _labels("Pigou's example", num_players, ("crowded", "constant"))
    return CongestionGame(delays, [[[1, 0], [0, 1]]] * num_players, labels=labels)
