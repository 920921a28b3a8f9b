"""Two players with two actions each."""

from collections.abc import Sequence

from gamejax.games._base import Labels
from gamejax.games._normal_form import NormalFormGame, bimatrix
from gamejax.games.library._checks import require
from gamejax.games.library._registry import classic


def _labels(title: str, *actions: str, columns: tuple[str, ...] | None = None) -> Labels:
    return Labels(title, ("row", "column"), (actions, columns or actions))


def _symmetric(matrix: Sequence[Sequence[float]], labels: Labels) -> NormalFormGame:
    return bimatrix(matrix, [list(row) for row in zip(*matrix, strict=True)], labels=labels)


@classic((1, 1), complete=True)
def prisoners_dilemma(
    temptation: float = 5, reward: float = 3, punishment: float = 1, sucker: float = 0
) -> NormalFormGame:
    """The prisoner's dilemma: defection dominates, and both would rather have cooperated.

    Both cooperate: `reward` each. One defects alone: it gains `temptation`, the other `sucker`.
    Both defect: `punishment` each.

    Equilibria: mutual defection, the only one (correlated ones included).

    Raises:
        ValueError: unless temptation > reward > punishment > sucker.
    """
    require(
        temptation > reward > punishment > sucker,
        "prisoners_dilemma needs temptation > reward > punishment > sucker, "
        f"got {temptation}, {reward}, {punishment}, {sucker}.",
    )
    matrix = [[reward, sucker], [temptation, punishment]]
    return _symmetric(matrix, _labels("Prisoner's dilemma", "cooperate", "defect"))


@classic((0, 1), (1, 0), ((2 / 3, 1 / 3), (2 / 3, 1 / 3)), complete=True)
def chicken() -> NormalFormGame:
    """Chicken, the example of a correlated equilibrium better than any mixture of Nash equilibria.

    Row player's payoffs `[[6, 2], [7, 0]]`, the column player's transposed.

    Equilibria: one swerves and the other dares (two), or both swerve with probability 2/3 (payoff
    14/3). Correlated: the uniform draw of the three profiles in which somebody swerves, payoff 5.

    References:
        aumann1974.
    """
    return _symmetric([[6, 2], [7, 0]], _labels("Chicken", "swerve", "dare"))


@classic((0, 0), (1, 1), ((0.75, 0.25), (0.75, 0.25)), complete=True)
def stag_hunt(stag: float = 4, hare: float = 3) -> NormalFormGame:
    """The stag hunt: the better equilibrium needs trust.

    Two hunters together gain `stag` each, one alone 0; who hunts hares gains `hare` in any case.

    Equilibria: both hunt the stag (payoff dominant), both hunt hares (risk dominant while
    hare > stag / 2), or both hunt the stag with probability hare / stag.

    Raises:
        ValueError: unless stag > hare > 0.
    """
    require(stag > hare > 0, f"stag_hunt needs stag > hare > 0, got {stag} and {hare}.")
    return _symmetric([[stag, 0], [hare, hare]], _labels("Stag hunt", "stag", "hare"))


@classic((0, 0), (1, 1), ((0.6, 0.4), (0.4, 0.6)), complete=True)
def battle_of_the_sexes(favorite: float = 3, other: float = 2) -> NormalFormGame:
    """Battle of the sexes: both want to meet, each at its own favorite place; apart they gain 0.

    Equilibria: both at either place, or each at its favorite with probability
    favorite / (favorite + other).

    Raises:
        ValueError: unless favorite > other > 0.
    """
    require(
        favorite > other > 0,
        f"battle_of_the_sexes needs favorite > other > 0, got {favorite} and {other}.",
    )
    labels = _labels("Battle of the sexes", "opera", "football")
    return bimatrix([[favorite, 0], [0, other]], [[other, 0], [0, favorite]], labels=labels)


@classic((0, 1), (1, 0), ((0.5, 0.5), (0.5, 0.5)), complete=True)
def hawk_dove(prize: float = 2, injury: float = 4) -> NormalFormGame:
    """Hawk and dove: doves share a prize, hawks take it from doves and injure each other.

    Two hawks gain (prize - injury) / 2 each, two doves prize / 2, a hawk the prize from a dove, who
    gains 0.

    Equilibria: one hawk and one dove (two), or both play hawk with probability prize / injury, the
    only evolutionarily stable strategy.

    Raises:
        ValueError: unless injury > prize > 0.

    References:
        maynardsmith1973.
    """
    require(injury > prize > 0, f"hawk_dove needs injury > prize > 0, got {injury} and {prize}.")
    matrix = [[(prize - injury) / 2, prize], [0, prize / 2]]
    return _symmetric(matrix, _labels("Hawk and dove", "hawk", "dove"))


@classic((0, 0), (1, 1), ((1 / 3, 2 / 3), (1 / 3, 2 / 3)), complete=True)
def coordination(high: float = 2, low: float = 1) -> NormalFormGame:
    """Coordination on the better of two standards: both gain `high`, both `low`, or both 0.

    Equilibria: both on either standard, or each on the high one with probability
    low / (high + low).

    Raises:
        ValueError: unless high >= low > 0.
    """
    require(high >= low > 0, f"coordination needs high >= low > 0, got {high} and {low}.")
    return _symmetric([[high, 0], [0, low]], _labels("Coordination", "high", "low"))


@classic((1, 1), complete=True)
def deadlock() -> NormalFormGame:
    """Deadlock: defection dominates, and mutual defection is also better than cooperation.

    Row player's payoffs `[[1, 0], [3, 2]]`, the column player's transposed.

    Equilibria: mutual defection, the only one.
    """
    return _symmetric([[1, 0], [3, 2]], _labels("Deadlock", "cooperate", "defect"))


@classic(((0.25, 0.75), (0.5, 0.5)), complete=True)
def inspection(
    wage: float = 4, effort: float = 2, check: float = 1, output: float = 8
) -> NormalFormGame:
    """The inspection game: a worker shirks or works, a principal inspects or trusts.

    The worker gains the wage unless caught shirking, less the effort of working. The principal
    gains the output of work, less the wage that it pays and the cost of its check.

    Equilibria: one, mixed; the worker shirks with probability check / wage, the principal inspects
    with probability effort / wage.

    Raises:
        ValueError: unless wage > effort > 0 and wage > check > 0.

    References:
        fudenberg1991.
    """
    require(
        wage > effort > 0 and wage > check > 0,
        f"inspection needs 0 < effort, check < wage, got {effort}, {check}, {wage}.",
    )
    worker = [[0, wage], [wage - effort, wage - effort]]
    principal = [[-check, -wage], [output - wage - check, output - wage]]
    labels = Labels(
        "Inspection", ("worker", "principal"), (("shirk", "work"), ("inspect", "trust"))
    )
    return bimatrix(worker, principal, labels=labels)


@classic((0, 0), (1, 1), (1, (0.5, 0.5)))
def entry_deterrence() -> NormalFormGame:
    """Entry deterrence: an entrant enters or stays out, an incumbent yields or fights.

    Entry gains 1 each when the incumbent yields and costs 1 each when it fights; the incumbent
    alone gains 2.

    Equilibria: entry and no fight; or staying out, when the incumbent fights with probability at
    least 1/2 (a segment, not perfect: the threat is empty).

    References:
        selten1978.
    """
    labels = Labels(
        "Entry deterrence", ("entrant", "incumbent"), (("enter", "stay out"), ("yield", "fight"))
    )
    return bimatrix([[1, -1], [0, 0]], [[1, -1], [2, 2]], labels=labels)
