"""Two players with more actions, general-sum."""

from collections.abc import Sequence

from gamejax.games._base import Labels
from gamejax.games._normal_form import NormalFormGame, bimatrix
from gamejax.games.library._checks import numbers, require
from gamejax.games.library._registry import classic


def _symmetric(
    matrix: Sequence[Sequence[float]], title: str, actions: tuple[str, ...]
) -> NormalFormGame:
    labels = Labels(title, ("row", "column"), (actions, actions))
    return bimatrix(matrix, [list(row) for row in zip(*matrix, strict=True)], labels=labels)


_THIRD = (1 / 3, 1 / 3, 1 / 3)


def _uniform_on(support: int, size: int) -> tuple[float, ...]:
    return tuple((support >> a & 1) / support.bit_count() for a in range(size))


@classic(*((_uniform_on(s, 3), _uniform_on(s, 3)) for s in range(1, 8)), complete=True)
def pure_coordination(num_actions: int = 3) -> NormalFormGame:
    """Pure coordination: both gain 1 when they choose the same action, else 0.

    Equilibria: for each non-empty set of actions, both uniform on it; 2 ** num_actions - 1 in all.

    Raises:
        ValueError: unless `num_actions` is at least 1.
    """
    require(num_actions >= 1, f"num_actions must be at least 1, got {num_actions}.")
    span = range(num_actions)
    matrix = [[float(a == b) for b in span] for a in span]
    return _symmetric(matrix, "Pure coordination", numbers(num_actions))


@classic((_THIRD, _THIRD), complete=True)
def shapley() -> NormalFormGame:
    """Shapley's game, on which fictitious play runs through ever longer cycles.

    Row player's payoffs `[[0,0,1],[1,0,0],[0,1,0]]`, the column player's
    `[[0,1,0],[0,0,1],[1,0,0]]`.

    Equilibria: both uniform, the only one, payoff 1/3. Correlated: the uniform draw of the six
    profiles off the diagonal, payoff 1/2.

    References:
        shapley1964.
    """
    actions = ("top", "middle", "bottom")
    return bimatrix(
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
        labels=Labels("Shapley's game", ("row", "column"), (actions, actions)),
    )


@classic((_THIRD, _THIRD), complete=True)
def bad_rock_paper_scissors(win: float = 1, loss: float = 2) -> NormalFormGame:
    """Rock, paper, scissors in which losing costs more than winning gains; not zero-sum.

    Equilibria: both uniform, the only one, payoff (win - loss) / 3. Where loss > win, replicator
    and best-response dynamics move away from it.

    Raises:
        ValueError: unless `win` and `loss` are positive.
    """
    require(min(win, loss) > 0, f"win and loss must be positive, got {win} and {loss}.")
    matrix = [[0, -loss, win], [win, 0, -loss], [-loss, win, 0]]
    return _symmetric(matrix, "Bad rock, paper, scissors", ("rock", "paper", "scissors"))


@classic((_THIRD, _THIRD), complete=True)
def chaotic_rock_paper_scissors(row_tie: float = 0.5, column_tie: float = -0.5) -> NormalFormGame:
    """Rock, paper, scissors with a reward for ties, in which replicator dynamics are chaotic.

    Winning gains 1, losing costs 1, ties gain `row_tie` and `column_tie`; zero-sum where these add
    up to 0, and chaotic there except at 0.

    Equilibria: both uniform, the only one.

    Raises:
        ValueError: unless both rewards lie between -1 and 1.

    References:
        sato2002.
    """
    require(
        max(abs(row_tie), abs(column_tie)) < 1,
        f"row_tie and column_tie must lie between -1 and 1, got {row_tie} and {column_tie}.",
    )
    actions = ("rock", "paper", "scissors")

    def matrix(tie: float) -> list[list[float]]:
        return [[tie, -1, 1], [1, tie, -1], [-1, 1, tie]]

    columns = [list(row) for row in zip(*matrix(column_tie), strict=True)]
    labels = Labels("Chaotic rock, paper, scissors", ("row", "column"), (actions, actions))
    return bimatrix(matrix(row_tie), columns, labels=labels)


@classic((0, 0), complete=True)
def travelers_dilemma(low: int = 2, high: int = 100, bonus: float = 2) -> NormalFormGame:
    """The traveler's dilemma: both claim `low` to `high`; both are paid the lower claim.

    The lower claimant gains `bonus` on top, the higher one loses it; equal claims are paid as they
    are. Actions are the claims in increasing order.

    Equilibria: both claim `low`, the only one.

    Raises:
        ValueError: unless low < high and bonus > 1.

    References:
        basu1994.
    """
    require(
        low < high and bonus > 1,
        f"travelers_dilemma needs low < high and bonus > 1, got {low}, {high}, {bonus}.",
    )
    claims = range(low, high + 1)
    matrix = [[min(a, b) + bonus * ((a < b) - (a > b)) for b in claims] for a in claims]
    return _symmetric(matrix, "Traveler's dilemma", numbers(low, high + 1))


@classic(*((k, k) for k in range(5)), (0, 4))
def ultimatum(pie: int = 4) -> NormalFormGame:
    """The ultimatum game: a proposer offers 0 to `pie`, a responder sets the least that it accepts.

    An accepted offer k gains the proposer pie - k and the responder k; a refused one gains nothing.

    Equilibria: for each k the offer k and the threshold k; also the offer 0 and the threshold
    `pie`; and mixtures. Only thresholds 0 and 1 are subgame perfect.

    Raises:
        ValueError: unless `pie` is at least 1.

    References:
        guth1982.
    """
    require(pie >= 1, f"pie must be at least 1, got {pie}.")
    span = range(pie + 1)
    proposer = [[(pie - k) * (k >= least) for least in span] for k in span]
    responder = [[k * (k >= least) for least in span] for k in span]
    offers = tuple(f"offer {k}" for k in span)
    thresholds = tuple(f"accept from {k}" for k in span)
    labels = Labels("Ultimatum", ("proposer", "responder"), (offers, thresholds))
    return bimatrix(proposer, responder, labels=labels)


@classic((0, 0), (0, (6 / 7, 1 / 7, 0)))
def centipede(rounds: int = 4) -> NormalFormGame:
    """The centipede game: two players in turn take the larger share of a pot that doubles, or pass.

    Taking in round t = 1, ..., `rounds` gains the taker 4 * 2 ** (t - 1), the other a quarter of
    it; if nobody takes, player 1 gains 4 * 2 ** rounds and player 2 a quarter. Strategic form:
    action k takes at the own k-th turn, the last action never.

    Equilibria: player 1 takes at once in all of them; player 2 would take at its first turn with
    probability at least 6/7 (in the default, and passing later is not too likely).

    Raises:
        ValueError: unless `rounds` is even and at least 2.

    References:
        mckelvey1992.
    """
    require(rounds >= 2 and rounds % 2 == 0, f"rounds must be even and at least 2, got {rounds}.")
    turns = rounds // 2

    def shares(first: int, second: int) -> tuple[int, int]:
        end = min(2 * first, 2 * second + 1, rounds)
        large, small = 4 * 2**end, 2**end
        return (large, small) if end % 2 == 0 else (small, large)

    table = [[shares(a, b) for b in range(turns + 1)] for a in range(turns + 1)]
    actions = (*(f"take at turn {k + 1}" for k in range(turns)), "pass")
    labels = Labels("Centipede", ("first", "second"), (actions, actions))
    first, second = ([[pair[i] for pair in row] for row in table] for i in range(2))
    return bimatrix(first, second, labels=labels)


@classic(((1 / 3, 1 / 3, 1 / 3, 0), (1 / 3, 1 / 3, 1 / 3, 0)), complete=True)
def all_pay_auction(prize: int = 3) -> NormalFormGame:
    """The all-pay auction: both pay their bids of 0 to `prize`, the higher one takes the prize.

    Equal bids share the prize. The dollar auction, played in one round.

    Equilibria: both bid uniformly on 0, ..., prize - 1 and gain 1/2; the only one for prize 3.

    Raises:
        ValueError: unless `prize` is at least 1.

    References:
        shubik1971.
    """
    require(prize >= 1, f"prize must be at least 1, got {prize}.")
    bids = range(prize + 1)
    matrix = [[prize * ((a > b) + (a == b) / 2) - a for b in bids] for a in bids]
    return _symmetric(matrix, "All-pay auction", numbers(prize + 1))


@classic((2, 2), (3, 3), (4, 4))
def bertrand(cost: int = 2, highest: int = 10) -> NormalFormGame:
    """Bertrand's price competition: the lower price of 0 to `highest` sells one unit.

    The seller gains its price less the `cost`; equal prices share.

    Equilibria: both ask the cost, one more, or two more (two more only just); no other pure ones
    while highest >= cost + 2.

    Raises:
        ValueError: unless 0 <= cost < highest.

    References:
        bertrand1883.
    """
    require(0 <= cost < highest, f"bertrand needs 0 <= cost < highest, got {cost} and {highest}.")
    prices = range(highest + 1)
    matrix = [[(a - cost) * ((a < b) + (a == b) / 2) for b in prices] for a in prices]
    return _symmetric(matrix, "Bertrand competition", numbers(highest + 1))


@classic((3, 3), (2, 4), (4, 2))
def cournot(intercept: int = 10, cost: int = 1) -> NormalFormGame:
    """Cournot's quantity competition in whole units.

    Both produce 0 to `intercept` units at `cost` each and sell them at the price
    max(intercept - total, 0).

    Equilibria: with k = (intercept - cost) / 3 whole, (k, k), (k - 1, k + 1) and (k + 1, k - 1) are
    all the pure ones; in continuous quantities only the first remains.

    Raises:
        ValueError: unless 0 <= cost < intercept.

    References:
        cournot1838.
    """
    require(
        0 <= cost < intercept, f"cournot needs 0 <= cost < intercept, got {cost} and {intercept}."
    )
    units = range(intercept + 1)
    matrix = [[a * (max(intercept - a - b, 0) - cost) for b in units] for a in units]
    return _symmetric(matrix, "Cournot competition", numbers(intercept + 1))
