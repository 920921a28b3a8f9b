"""Games given by a function of the actions, with more actions than fit into memory."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray, UInt32

from gamejax._joint import Joint, Sparse
from gamejax._numerics import HIGHEST, require_memory
from gamejax._types import Profile, PyTree, Scalar, Strategy
from gamejax.games._base import AbstractGame, Labels
from gamejax.games._normal_form import NormalFormGame
from gamejax.sets import AbstractStrategySet, Simplex

MOST_PROFILES = 2**28
"""Strategies over all actions are refused where one utility needs more payoffs than this."""

AT_ONCE = 2**16
"""About how many payoffs are computed side by side."""


class OracleGame(AbstractGame):
    r"""A finite game whose payoffs are a function of the actions; no tensor is ever formed.

    Strategies are `Sparse` where there are too many actions for vectors:
    `solvers.SubsampledGame` solves such games in a time that does not depend on their size.
    With few actions every solver works.

    Args:
        payoff_function: `f(actions) -> payoffs`, or `f(actions, params)` where `params` are given.
            `actions` is a tuple of one int32 scalar per player, each from 0 to $n_i - 1$; `payoffs`
            one number per player, an array `(m,)` or a sequence. It is mapped with `jax.vmap`.
            Static: name it once, outside of loops, or programs compile again for each new function
            object. Mind that int32 products overflow beyond $2^{31}$: turn actions into floats.
        num_actions: how many actions each player has, from 1 to $2^{31} - 1$.
        params: a tree of arrays that the function needs. Numbers belong here, not in a closure.
        bounds: the lowest and the highest payoff there can be. Sampled certificates rest on them.
        labels: names of the game and its players.

    Raises:
        TypeError: `payoff_function` is no function, or `num_actions` holds no integers.
        ValueError: `num_actions` is out of range, or the payoffs are not one per player.
    """

    function: Callable[..., Any] = eqx.field(static=True)
    num_actions: tuple[int, ...] = eqx.field(static=True)
    strategy_sets: tuple[AbstractStrategySet, ...]
    params: PyTree[Array]
    bounds: tuple[ArrayLike, ArrayLike]

    def __init__(
        self,
        payoff_function: Callable[..., Any],
        num_actions: Sequence[int],
        params: PyTree[Array] = None,
        *,
        bounds: tuple[ArrayLike, ArrayLike] = (0.0, 1.0),
        labels: Labels | None = None,
    ):
        if not callable(payoff_function):
            raise TypeError(
                f"payoff_function must be a function, got {type(payoff_function).__name__}."
            )
        self.function = payoff_function
        try:
            self.num_actions = tuple(operator.index(n) for n in num_actions)
        except TypeError:
            raise TypeError(
                f"num_actions must be a sequence of integers, one per player, got {num_actions!r}."
            ) from None
        if not self.num_actions or not all(1 <= n < 2**31 for n in self.num_actions):
            raise ValueError(
                f"num_actions must hold numbers from 1 to 2**31 - 1, got {self.num_actions}."
            )
        self.strategy_sets = tuple(Simplex(n) for n in self.num_actions)
        self.params = params
        self.bounds = bounds
        self.labels = labels
        shape = self._signature().shape
        if shape != (len(self.num_actions),):
            raise ValueError(
                f"payoff_function must return {len(self.num_actions)} payoffs, one per player, "
                f"got shape {shape}."
            )

    def _signature(self) -> jax.ShapeDtypeStruct:
        return jax.eval_shape(lambda: self._call(tuple(jnp.int32(0) for _ in self.num_actions)))

    def _call(self, actions: tuple[Array, ...]) -> Array:
        given = self.function(*((actions,) if self.params is None else (actions, self.params)))
        payoffs = given if isinstance(given, jax.Array) else jnp.stack([*map(jnp.asarray, given)])
        if jnp.issubdtype(payoffs.dtype, jnp.floating):
            return payoffs
        return payoffs.astype(jnp.result_type(float))

    @property
    def dtype(self) -> Any:
        return self._signature().dtype

    def payoffs(self, actions: tuple[Int[Array, "*batch"], ...]) -> Float[Array, "*batch players"]:
        """Everyone's payoffs at action profiles: one array of actions per player, all alike."""
        flat = tuple(jnp.asarray(a, jnp.int32).reshape(-1) for a in actions)
        return jax.vmap(self._call)(flat).reshape(*jnp.shape(actions[0]), len(actions))

    def payoffs_against(
        self, player: int, actions: Int[Array, " tests"], profile: tuple[Strategy | Sparse, ...]
    ) -> Float[Array, " tests"]:
        """What a player would get by each of these actions, against the others' strategies."""
        opponents = [_as_sparse(x) for i, x in enumerate(profile) if i != player]
        others, weights = _product(opponents, self.dtype)

        def one(action: Array) -> Array:
            own = jnp.broadcast_to(action, weights.shape)
            payoffs = self.payoffs((*others[:player], own, *others[player:]))[:, player]
            return jnp.vdot(weights, payoffs, precision=HIGHEST)

        return jax.lax.map(one, actions, batch_size=max(1, AT_ONCE // weights.size))

    def utility(self, player: int, profile: tuple[Strategy | Sparse, ...]) -> Array:
        count = self.num_actions[player] * math.prod(
            _as_sparse(x).actions.size for i, x in enumerate(profile) if i != player
        )
        if count > MOST_PROFILES:
            raise ValueError(
                f"The utilities of all {self.num_actions[player]:,} actions need {count:,} "
                "payoffs; use solvers.SubsampledGame(...), whose time does not grow with the "
                "number of actions."
            )
        every = jnp.arange(self.num_actions[player], dtype=jnp.int32)
        return self.payoffs_against(player, every, profile)

    def expected_payoffs(self, profile: Profile) -> Float[Array, " players"]:
        if isinstance(profile, Joint):
            return super().expected_payoffs(profile)
        first = _as_sparse(profile[0])

        def one(pair: tuple[Array, Array]) -> Array:
            action, probability = pair
            others, weights = _product([_as_sparse(x) for x in profile[1:]], self.dtype)
            payoffs = self.payoffs((jnp.broadcast_to(action, weights.shape), *others))
            return probability * jnp.matmul(weights, payoffs, precision=HIGHEST)

        return jax.lax.map(one, (first.actions, first.probabilities)).sum(0)

    def utility_range(self, player: int) -> Scalar:
        low, high = self.bounds
        return jnp.asarray(high, self.dtype) - jnp.asarray(low, self.dtype)


class Subsample(NamedTuple):
    """A small game on some of the actions of a large one, and which ones: `(K,)` per player."""

    game: NormalFormGame
    actions: tuple[Int[Array, " candidates"], ...]


def restrict(game: OracleGame, actions: Sequence[Int[Array, " candidates"]]) -> NormalFormGame:
    """The game in which each player has only the given actions; one array of them per player.

    Raises:
        ValueError: not one array per player, or a payoff tensor that would not fit into memory.
    """
    if len(actions) != game.num_players:
        raise ValueError(
            f"actions must be one array per player ({game.num_players}), got {len(actions)}."
        )
    shape = tuple(a.shape[0] for a in actions)
    size = 2 * game.num_players * math.prod(shape) * jnp.dtype(game.dtype).itemsize
    require_memory(size, f"A payoff tensor of shape {(game.num_players, *shape)}")
    payoffs = game.payoffs(tuple(jnp.meshgrid(*actions, indexing="ij")))
    return NormalFormGame(jnp.moveaxis(payoffs, -1, 0))


def subsample_game(
    key: PRNGKeyArray, game: OracleGame, num_candidates: int | Sequence[int]
) -> Subsample:
    r"""A sub-game on actions drawn uniformly, with replacement.

    Of $K$ candidates, $k$ can be coupled to be draws of any $\sigma$-smooth strategy, except with
    probability at most $k (1 - \sigma)^{\lfloor K/k \rfloor}$: whatever smooth strategies achieve
    by sampling, strategies on the candidates do nearly as well, whatever the number of actions.

    Args:
        key: of the draws.
        game: the large game.
        num_candidates: $K$, how many draws; one number or one per player.

    References:
        daskalakis2024.
    """
    m = game.num_players
    counts = (num_candidates,) * m if isinstance(num_candidates, int) else tuple(num_candidates)
    if len(counts) != m or not all(k >= 1 for k in counts):
        raise ValueError(
            f"num_candidates must be at least 1, one number or {m} of them, got {num_candidates}."
        )
    keys = jax.random.split(key, m)
    actions = tuple(
        uniform_actions(own, n, (k,))
        for own, n, k in zip(keys, game.num_actions, counts, strict=True)
    )
    return Subsample(restrict(game, actions), actions)


def uniform_actions(
    key: PRNGKeyArray, num_actions: int, shape: tuple[int, ...]
) -> Int[Array, "..."]:
    r"""Independent uniform draws from $0, \ldots, n - 1$ for $n$ up to $2^{31} - 1$, in int32.

    $\lfloor w n / 2^{64}\rfloor$ of random 64-bit words $w$, in pieces of 32 bits; no probability
    is off by more than $2^{-64}$. (From 32-bit words, as `jax.random.randint` draws in int32, some
    of a billion actions would be a quarter likelier than others.)
    """
    high, low = jax.random.bits(key, (2, *shape), jnp.uint32)
    n = jnp.full(shape, num_actions, jnp.uint32)
    upper, _ = _multiply(low, n)
    top, rest = _multiply(high, n)
    carry = (rest + upper < rest).astype(jnp.uint32)
    return (top + carry).astype(jnp.int32)


def _multiply(
    a: UInt32[Array, "..."], b: UInt32[Array, "..."]
) -> tuple[UInt32[Array, "..."], UInt32[Array, "..."]]:
    """The product of 32-bit numbers as its upper and lower 32 bits."""
    a1, a0, b1, b0 = a >> 16, a & 0xFFFF, b >> 16, b & 0xFFFF
    middle = a1 * b0 + (a0 * b0 >> 16)
    other = a0 * b1 + (middle & 0xFFFF)
    return a1 * b1 + (middle >> 16) + (other >> 16), a * b


def _as_sparse(strategy: Strategy | Sparse) -> Sparse:
    if isinstance(strategy, Sparse):
        return strategy
    return Sparse(jnp.arange(strategy.shape[-1], dtype=jnp.int32), strategy)


def _product(strategies: Sequence[Sparse], dtype: Any) -> tuple[tuple[Array, ...], Array]:
    """All action profiles of independent strategies, one flat array per player, and weights."""
    sizes = [x.actions.size for x in strategies]
    require_memory(8 * len(sizes) * math.prod(sizes), f"All profiles of {sizes} actions")
    grid = jnp.meshgrid(*[x.actions for x in strategies], indexing="ij")
    weights = jnp.ones((), dtype)
    for x in strategies:
        weights = weights[..., None] * x.probabilities.reshape((1,) * weights.ndim + (-1,))
    return tuple(g.reshape(-1) for g in grid), weights.reshape(-1)
