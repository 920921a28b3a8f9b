"""Two-player zero-sum games."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from gamejax._joint import Joint
from gamejax._numerics import HIGHEST
from gamejax._types import Numbers, Scalar
from gamejax.games._base import AbstractGame, Labels
from gamejax.games._normal_form import as_payoffs, check_sets, contract_deviations, payoff_range
from gamejax.sets import AbstractStrategySet, Simplex


class MatrixGame(AbstractGame):
    r"""A two-player zero-sum game: the row player gains $x^\top A y$, the column player loses it.

    $u_1 = A y$, $u_2 = -A^\top x$.

    Args:
        payoff: the matrix $A$, shape `(n, k)`. Integers become the default float,
            floats of 16 bits those of 32.
        strategy_sets: the two players' sets; default whole simplices.
        labels: names of the game, its players and their actions.

    Raises:
        ValueError: `payoff` is no matrix, or the sets do not fit it.
    """

    payoff: Float[Array, "rows columns"]
    strategy_sets: tuple[AbstractStrategySet, ...]

    def __init__(
        self,
        payoff: Numbers,
        strategy_sets: Sequence[AbstractStrategySet] | None = None,
        *,
        labels: Labels | None = None,
    ):
        matrix = as_payoffs(payoff, "payoff")
        if matrix.ndim != 2 or matrix.size == 0:
            raise ValueError(
                f"payoff must be a matrix (rows, columns), got shape {matrix.shape}; for a batch "
                "of games map the constructor: jax.vmap(MatrixGame)(payoffs)."
            )
        self.payoff = matrix
        self.strategy_sets = (
            tuple(Simplex(n) for n in matrix.shape)
            if strategy_sets is None
            else tuple(strategy_sets)
        )
        check_sets(self.strategy_sets, matrix.shape)
        self.labels = labels

    def utility(self, player: int, profile: tuple[Array, ...]) -> Array:
        x, y = profile
        if player == 0:
            return jnp.matmul(self.payoff, y, precision=HIGHEST)
        return -jnp.matmul(x, self.payoff, precision=HIGHEST)

    def deviations(self, player: int, joint: Joint) -> Array:
        payoffs = self.payoff if player == 0 else -self.payoff
        return contract_deviations(payoffs, joint, player)

    def utility_range(self, player: int) -> Scalar:
        return payoff_range(self.payoff, self.strategy_sets)
