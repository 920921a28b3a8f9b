"""Alpha-rank: which actions populations spend their time at."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gamejax.games import AbstractGame
from gamejax.games._pure import action_masks, payoff_tensor, profile_mask

_NEVER = -1e30


def alpha_rank(
    game: AbstractGame,
    *,
    selection: ArrayLike = 100.0,
    population_size: int = 50,
    symmetric: bool = False,
    local: bool = True,
) -> Float[Array, "..."]:
    r"""The long-run shares of action profiles under mutation and imitation.

    Populations of $m$ individuals each play one action; rarely, one individual of one population
    mutates, and its action takes over with the fixation probability of the Fermi process with
    selection intensity $\alpha$, in which a mutant that earns $d$ more succeeds with probability

    $$\rho = \Big(\sum_{l=0}^{m-1} e^{-\alpha l d}\Big)^{-1}
           = \frac{1 - e^{-\alpha d}}{1 - e^{-\alpha m d}}, \qquad \rho = 1/m \text{ at } d = 0.$$

    One population per player (default): states are pure profiles, moves change one player's
    action, each with probability $\rho / \sum_i (n_i - 1)$. `symmetric=True`: one population for a
    symmetric two-player game, states are its actions, and $d = U(b, a) - U(a, b)$ for a mutant $b$
    among $a$ (`local=True`: it compares itself with the one it meets); `local=False` counts what
    everyone earns in the mixed population of $l$ mutants and $m - l$ residents.

    The stationary distribution is computed by state reduction without subtractions, in logarithms,
    so that it is accurate however large $\alpha$ is. Cost: the cube of the number of states, for a
    few hundred states. Differentiable.

    Args:
        game: a game whose players choose from simplices.
        selection: the intensity $\alpha$, in 1 / payoff units; large values give the ranking by the
            sink components of the better-response graph.
        population_size: the number of individuals $m \ge 2$ per population.
        symmetric: one population, for symmetric two-player games.
        local: the payoff comparison of the symmetric case.

    Returns:
        Probabilities: shape `(n_1, ..., n_m)`, or `(n,)` with `symmetric=True`.

    References:
        omidshafiei2019; traulsen2006 (fixation probability); grassmann1985 (state reduction).
    """
    if population_size < 2:
        raise ValueError(f"population_size must be at least 2, got {population_size}.")
    payoffs = payoff_tensor(game)
    if symmetric:
        if payoffs.shape[0] != 2 or payoffs.shape[1] != payoffs.shape[2]:
            raise ValueError(
                "symmetric=True needs a two-player game with the same actions for both players, "
                f"got {payoffs.shape[1:]} actions."
            )
        exists = action_masks(game)[0]
        rates = _one_population(payoffs[0], selection, population_size, local)
    else:
        exists = profile_mask(game)
        rates = _many_populations(payoffs, selection, population_size)
    alive = exists.reshape(-1)
    rates = jnp.where(alive[:, None] & alive[None, :], rates, _NEVER)
    order = jnp.argsort(~alive, stable=True)
    shares = _stationary(rates[order][:, order])
    return jnp.zeros_like(shares).at[order].set(shares).reshape(exists.shape)


def _fixation(advantages: Float[Array, "sizes ..."]) -> Array:
    """Log fixation probability; `advantages`: alpha times that of 1, 2, ..., m - 1 mutants."""
    exponents = -jnp.cumsum(advantages, 0)
    start = jnp.zeros_like(exponents[:1])
    return -jax.nn.logsumexp(jnp.concatenate([start, exponents]), axis=0)


def _one_population(payoff: Array, selection: ArrayLike, size: int, local: bool) -> Array:
    """Log rates from resident (row) to mutant (column)."""
    mutants = jnp.expand_dims(jnp.arange(1, size, dtype=payoff.dtype), (1, 2))
    if local:
        advantage = jnp.broadcast_to(payoff.T - payoff, (size - 1, *payoff.shape))
    else:
        own = jnp.diagonal(payoff)
        mutant = (mutants - 1) * own[None, None, :] + (size - mutants) * payoff.T[None]
        resident = (size - mutants - 1) * own[None, :, None] + mutants * payoff[None]
        advantage = (mutant - resident) / (size - 1)
    return _fixation(jnp.asarray(selection * advantage))


def _many_populations(payoffs: Array, selection: ArrayLike, size: int) -> Array:
    """Log rates between pure profiles that differ in one player's action."""
    shape = payoffs.shape[1:]
    count = math.prod(shape)
    state = jnp.arange(count, dtype=jnp.int32).reshape(shape)
    rates = jnp.full((count, count), _NEVER, payoffs.dtype)
    for player, n in enumerate(shape):
        table = jnp.moveaxis(payoffs[player], player, -1).reshape(-1, n)
        index = jnp.moveaxis(state, player, -1).reshape(-1, n)
        gain = table[:, None, :] - table[:, :, None]
        log_rho = _fixation(jnp.broadcast_to(selection * gain, (size - 1, *gain.shape)))
        rates = rates.at[index[:, :, None], index[:, None, :]].set(log_rho)
    return rates


def _stationary(rates: Float[Array, "states states"]) -> Float[Array, " states"]:
    """Stationary distribution from log rates, whose diagonal is ignored.

    States are taken out one by one from the last, their flow passed on to those before; then put
    back in order. Only sums of positive numbers occur, here of their logarithms.
    """
    count = rates.shape[0]
    index = jnp.arange(count, dtype=jnp.int32)

    def remove(k: Array, rates: Array) -> Array:
        state = count - 1 - k
        before = index < state
        out = jnp.where(before, rates[state], _NEVER)
        reached = before & (rates[:, state] > _NEVER / 2)
        arrive = jnp.where(reached, rates[:, state] - jax.nn.logsumexp(out), _NEVER)
        passed = jnp.maximum(arrive[:, None] + out[None, :], _NEVER)
        kept = before[:, None] & before[None, :]
        rates = jnp.where(kept, jnp.logaddexp(rates, passed), rates)
        return rates.at[:, state].set(arrive)

    def restore(state: Array, weights: Array) -> Array:
        terms = jnp.where(index < state, weights + rates[:, state], _NEVER)
        return weights.at[state].set(jnp.maximum(jax.nn.logsumexp(terms), _NEVER))

    rates = jax.lax.fori_loop(0, count - 1, remove, rates)
    weights = jnp.full_like(rates[0], _NEVER).at[0].set(0)
    return jax.nn.softmax(jax.lax.fori_loop(1, count, restore, weights))
