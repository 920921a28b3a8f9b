"""Two-player zero-sum games; payoffs are the row player's."""

from collections.abc import Sequence

from gamejax.games._base import Labels
from gamejax.games._matrix import MatrixGame
from gamejax.games.library._checks import numbers, require
from gamejax.games.library._registry import classic


def _labels(
    title: str, actions: Sequence[str], players: tuple[str, str] = ("row", "column")
) -> Labels:
    return Labels(title, players, (tuple(actions), tuple(actions)))


@classic(((0.5, 0.5), (0.5, 0.5)), complete=True, value=0)
def matching_pennies() -> MatrixGame:
    """Matching pennies: the row player wins 1 when the pennies match and loses 1 when not.

    Equilibria: both uniform, the only one. Value 0.
    """
    labels = _labels("Matching pennies", ("heads", "tails"), ("matcher", "mismatcher"))
    return MatrixGame([[1, -1], [-1, 1]], labels=labels)


@classic(((0.4, 0.6), (0.4, 0.6)), complete=True, value=0.2)
def biased_matching_pennies() -> MatrixGame:
    """Matching pennies in which matched heads count double: `[[2, -1], [-1, 1]]`.

    Equilibria: both play heads with probability 2/5, the only one. Value 1/5.
    """
    labels = _labels("Biased matching pennies", ("heads", "tails"), ("matcher", "mismatcher"))
    return MatrixGame([[2, -1], [-1, 1]], labels=labels)


@classic(((1 / 3,) * 3, (1 / 3,) * 3), complete=True, value=0)
def rock_paper_scissors() -> MatrixGame:
    """Rock, paper, scissors: winning gains 1, losing costs 1.

    Equilibria: both uniform, the only one. Value 0.
    """
    labels = _labels("Rock, paper, scissors", ("rock", "paper", "scissors"))
    return MatrixGame([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], labels=labels)


@classic(((1 / 2, 1 / 6, 1 / 3), (1 / 2, 1 / 6, 1 / 3)), complete=True, value=0)
def weighted_rock_paper_scissors(
    rock: float = 1, paper: float = 2, scissors: float = 3
) -> MatrixGame:
    """Rock, paper, scissors in which winning with an action gains that action's stake.

    Equilibria: both play rock, paper, scissors in proportion scissors : rock : paper of the stakes,
    the only one. Value 0.

    Raises:
        ValueError: unless all stakes are positive.
    """
    require(
        min(rock, paper, scissors) > 0,
        f"stakes must be positive, got {rock}, {paper}, {scissors}.",
    )
    labels = _labels("Weighted rock, paper, scissors", ("rock", "paper", "scissors"))
    return MatrixGame(
        [[0, -paper, rock], [paper, 0, -scissors], [-rock, scissors, 0]], labels=labels
    )


@classic(((1 / 4, 5 / 12, 1 / 3), (1 / 3, 5 / 12, 1 / 4)), complete=True, value=1 / 12)
def biased_rock_paper_scissors() -> MatrixGame:
    """Rock, paper, scissors in which the row player's rock gains 2: `[[0,-1,2],[1,0,-1],[-1,1,0]]`.

    Equilibria: (1/4, 5/12, 1/3) against (1/3, 5/12, 1/4), the only one. Value 1/12.
    """
    labels = _labels("Biased rock, paper, scissors", ("rock", "paper", "scissors"))
    return MatrixGame([[0, -1, 2], [1, 0, -1], [-1, 1, 0]], labels=labels)


@classic(((0.2,) * 5, (0.2,) * 5), complete=True, value=0)
def rock_paper_scissors_lizard_spock() -> MatrixGame:
    """Rock, paper, scissors, lizard, Spock: each action beats two others and gains 1.

    Equilibria: both uniform, the only one. Value 0.
    """
    beats = {
        "rock": ("scissors", "lizard"),
        "paper": ("rock", "spock"),
        "scissors": ("paper", "lizard"),
        "lizard": ("spock", "paper"),
        "spock": ("scissors", "rock"),
    }
    payoff = [[(b in beats[a]) - (a in beats[b]) for b in beats] for a in beats]
    return MatrixGame(payoff, labels=_labels("Rock, paper, scissors, lizard, Spock", tuple(beats)))


@classic(((1 / 7,) * 7, (1 / 7,) * 7), complete=True, value=0)
def cyclic(num_actions: int = 7) -> MatrixGame:
    """Rock, paper, scissors of any odd size: each action beats the half of the others before it.

    Action `i` gains 1 from `i - 1, ..., i - (n - 1) / 2` (modulo n) and loses 1 to the rest.

    Equilibria: both uniform, the only one. Value 0.

    Raises:
        ValueError: unless `num_actions` is odd and at least 3.
    """
    require(
        num_actions >= 3 and num_actions % 2 == 1,
        f"num_actions must be odd and at least 3, got {num_actions}.",
    )
    half = num_actions // 2
    payoff = [
        [0 if i == j else 1 if (i - j) % num_actions <= half else -1 for j in range(num_actions)]
        for i in range(num_actions)
    ]
    return MatrixGame(payoff, labels=_labels("Cyclic dominance", numbers(num_actions)))


@classic(((0.48, 0.24, 0.16, 0.12), (0.48, 0.24, 0.16, 0.12)), complete=True, value=0.48)
def hide_and_seek(stakes: Sequence[float] = (1, 2, 3, 4)) -> MatrixGame:
    """Hide and seek: the seeker looks in one place and gains its stake if the hider is there.

    Equilibria: both choose places in inverse proportion to their stakes, the only one. Value
    1 / sum(1 / stakes).

    Raises:
        ValueError: unless there are stakes and all are positive.
    """
    require(len(stakes) > 0 and min(stakes) > 0, f"stakes must be positive numbers, got {stakes}.")
    places = range(len(stakes))
    payoff = [[stakes[i] if i == j else 0 for j in places] for i in places]
    labels = _labels("Hide and seek", numbers(len(stakes)), ("seeker", "hider"))
    return MatrixGame(payoff, labels=labels)


_KICK_LEFT = (0.6992 - 0.9291) / (0.583 - 0.9497 - 0.9291 + 0.6992)
_DIVE_LEFT = (0.6992 - 0.9497) / (0.583 - 0.9497 - 0.9291 + 0.6992)


@classic(
    ((_KICK_LEFT, 1 - _KICK_LEFT), (_DIVE_LEFT, 1 - _DIVE_LEFT)),
    complete=True,
    value=(0.583 * 0.6992 - 0.9497 * 0.9291) / (0.583 - 0.9497 - 0.9291 + 0.6992),
)
def kicker_goalie() -> MatrixGame:
    """Penalty kicks: the chance of a goal by the sides that kicker and goalkeeper choose.

    The chances are those observed in professional soccer, `[[.5830, .9497], [.9291, .6992]]`; left
    is the kicker's natural side.

    Equilibria: kick left with probability .3854, dive left with probability .4199, the only one.
    Value .7957 goals.

    References:
        palacioshuerta2003.
    """
    labels = _labels("Penalty kick", ("left", "right"), ("kicker", "goalkeeper"))
    return MatrixGame([[0.5830, 0.9497], [0.9291, 0.6992]], labels=labels)


_MORRA = ((0, 3 / 5, 2 / 5, 0), (0, 4 / 7, 3 / 7, 0))


@classic(*((x, y) for x in _MORRA for y in _MORRA), value=0)
def morra(fingers: int = 2) -> MatrixGame:
    """Morra: show 1 to `fingers` fingers and guess how many the other shows.

    Who alone guesses right gains the number of all fingers shown from the other. Actions are pairs
    (shown, guessed), in lexicographic order.

    Equilibria of the default: guess the number one does not show; show one finger with probability
    between 4/7 and 3/5, the same range for both players. Value 0.

    Raises:
        ValueError: unless `fingers` is at least 1.
    """
    require(fingers >= 1, f"fingers must be at least 1, got {fingers}.")
    span = range(1, fingers + 1)
    plays = [(show, guess) for show in span for guess in span]
    payoff = [[(a[0] + b[0]) * ((a[1] == b[0]) - (b[1] == a[0])) for b in plays] for a in plays]
    return MatrixGame(payoff, labels=_labels("Morra", [f"show {s} guess {g}" for s, g in plays]))


@classic(((0.25, 0.5, 0.25, 0, 0, 0), (0.25, 0.5, 0.25, 0, 0, 0)), complete=True, value=0)
def mendelsohn(largest: int = 6) -> MatrixGame:
    """Mendelsohn's numbers game: name a number a little larger than the other's.

    Both name a number from 1 to `largest`. One more than the other gains 1; two or more than the
    other loses 2.

    Equilibria: both play 1, 2, 3 with probabilities 1/4, 1/2, 1/4, the only one. Value 0.

    Raises:
        ValueError: unless `largest` is at least 3.

    References:
        mendelsohn1946.
    """
    require(largest >= 3, f"largest must be at least 3, got {largest}.")

    def gain(lead: int) -> int:
        if abs(lead) <= 1:
            return lead
        return -2 if lead > 0 else 2

    payoff = [[gain(i - j) for j in range(largest)] for i in range(largest)]
    return MatrixGame(payoff, labels=_labels("Mendelsohn's game", numbers(1, largest + 1)))


def _allocations(troops: int, fields: int) -> list[tuple[int, ...]]:
    if fields == 1:
        return [(troops,)]
    return [(k, *rest) for k in range(troops + 1) for rest in _allocations(troops - k, fields - 1)]


def _even_blotto() -> tuple[float, ...]:
    """A mixture whose troops on each field are uniform on 0..4, for 6 troops and 3 fields."""
    weights: dict[tuple[int, ...], float] = {
        (0, 2, 4): 0.4 / 6,
        (1, 2, 3): 0.2 / 6,
        (1, 1, 4): 0.2 / 3,
        (0, 3, 3): 0.2 / 3,
    }
    return tuple(weights.get(tuple(sorted(a)), 0.0) for a in _allocations(6, 3))


@classic((_even_blotto(), _even_blotto()), value=0)
def colonel_blotto(troops: int = 6, fields: int = 3) -> MatrixGame:
    """Colonel Blotto: both divide equal armies among battlefields; more troops win a field.

    The payoff is the number of fields won less the number lost. Actions are the
    `comb(troops + fields - 1, fields - 1)` divisions in lexicographic order.

    Equilibria: where a mixture exists whose number of troops on each field is uniform on
    0, ..., 2 * troops / fields, as for the default, both may play it; there are many. Value 0.

    Raises:
        ValueError: unless `troops` and `fields` are at least 1.

    References:
        hart2008.
    """
    require(
        troops >= 1 and fields >= 1,
        f"troops and fields must be at least 1, got {troops} and {fields}.",
    )
    plays = _allocations(troops, fields)
    payoff = [
        [sum((s > t) - (s < t) for s, t in zip(a, b, strict=True)) for b in plays] for a in plays
    ]
    return MatrixGame(
        payoff, labels=_labels("Colonel Blotto", ["-".join(map(str, a)) for a in plays])
    )


@classic(((1 / 1.1, 0.1 / 1.1), (1 / 2.2, 1.2 / 2.2)), complete=True, value=-0.6 / 1.1)
def slow_oftrl(delta: float = 0.1) -> MatrixGame:
    r"""The game on which optimistic follow-the-regularized-leader is slow in its last iterate.

    Row player's payoffs $-\begin{pmatrix} 1/2 + \delta & 1/2 \\ 0 & 1 \end{pmatrix}$ (the source
    lets the row player minimize the positive matrix).

    Equilibria: one, $x = (1, \delta)/(1 + \delta)$ and $y = (1, 1 + 2\delta)/(2(1 + \delta))$.
    Value $-(1/2 + \delta)/(1 + \delta)$.

    Raises:
        ValueError: unless 0 < delta < 1/2.

    References:
        cai2024.
    """
    require(0 < delta < 0.5, f"delta must lie between 0 and 1/2, got {delta}.")
    labels = _labels("Slow last iterate", ("first", "second"))
    return MatrixGame([[-0.5 - delta, -0.5], [0, -1]], labels=labels)
