"""Random games with structure: interchangeable players, graphs, resources, small stories."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from gamejax._types import Scalar
from gamejax.games._congestion import CongestionGame
from gamejax.games._matrix import MatrixGame
from gamejax.games._normal_form import NormalFormGame
from gamejax.games._polymatrix import PolymatrixGame
from gamejax.games._symmetric import SymmetricGame, count_vectors
from gamejax.games.random._registry import as_count, family, uniform


@family("counts")
def symmetric(
    key: PRNGKeyArray, num_players: int, num_actions: int, dtype: Any = float
) -> SymmetricGame:
    """A symmetric game with a table of payoffs independent and uniform on [-1, 1].

    Args:
        key: the source of randomness.
        num_players: how many interchangeable players there are.
        num_actions: number of actions of each.
        dtype: the floating-point type of the payoffs; default the default float.
    """
    m, n = as_count(num_players, "num_players"), as_count(num_actions, "num_actions")
    return SymmetricGame(uniform(key, (n, len(count_vectors(m - 1, n))), dtype), m)


@family("counts")
def polymatrix(
    key: PRNGKeyArray,
    num_players: int,
    num_actions: int,
    edge_probability: float | Scalar = 1.0,
    dtype: Any = float,
) -> PolymatrixGame:
    """A polymatrix game on a random graph, payoffs independent and uniform on [-1, 1].

    Args:
        key: the source of randomness.
        num_players: how many players there are.
        num_actions: number of actions of each.
        edge_probability: the chance that two players meet; 1 for a complete graph. May be traced.
        dtype: the floating-point type of the payoffs; default the default float.
    """
    payoffs, edges = _pairwise(key, num_players, num_actions, edge_probability, dtype)
    return PolymatrixGame(jnp.where(edges | jnp.swapaxes(edges, 0, 1), payoffs, 0))


@family("counts")
def zero_sum_polymatrix(
    key: PRNGKeyArray,
    num_players: int,
    num_actions: int,
    edge_probability: float | Scalar = 1.0,
    dtype: Any = float,
) -> PolymatrixGame:
    r"""A polymatrix game in which each pair plays a zero-sum game, $A_{ji} = -A_{ij}^\top$.

    Its coarse correlated equilibria have equilibria as marginals, so that no-regret learning finds
    an equilibrium, as with two players.

    Args:
        key: the source of randomness.
        num_players: how many players there are.
        num_actions: number of actions of each.
        edge_probability: the chance that two players meet; 1 for a complete graph. May be traced.
        dtype: the floating-point type of the payoffs; default the default float.

    References:
        cai2016.
    """
    payoffs, edges = _pairwise(key, num_players, num_actions, edge_probability, dtype)
    forth = jnp.where(edges, payoffs, 0)
    return PolymatrixGame(forth - jnp.transpose(forth, (1, 0, 3, 2)))


def _pairwise(
    key: Array, num_players: int, num_actions: int, probability: float | Scalar, dtype: Any
) -> tuple[Array, Array]:
    """Payoffs of all pairs, and which pairs $i < j$ meet, as blocks of one shape."""
    m, n = as_count(num_players, "num_players"), as_count(num_actions, "num_actions")
    draw, meet = jax.random.split(key)
    edges = jnp.triu(jax.random.bernoulli(meet, jnp.asarray(probability, dtype), (m, m)), 1)
    shape = (m, m, n, n)
    return uniform(draw, shape, dtype), jnp.broadcast_to(edges[:, :, None, None], shape)


@family("counts")
def congestion(
    key: PRNGKeyArray,
    num_players: int,
    num_actions: int,
    num_resources: int,
    dtype: Any = float,
) -> CongestionGame:
    """A congestion game with random sets of resources and increasing delays in [0, 1].

    A set holds each resource with probability 1/2, and one for sure. Delays grow by uniform steps.

    Args:
        key: the source of randomness.
        num_players: how many players there are.
        num_actions: number of resource sets of each player.
        num_resources: how many resources there are.
        dtype: the floating-point type of the delays; default the default float.
    """
    m, n = as_count(num_players, "num_players"), as_count(num_actions, "num_actions")
    resources = as_count(num_resources, "num_resources")
    grow, choose, ensure = jax.random.split(key, 3)
    delays = jnp.cumsum(jax.random.uniform(grow, (resources, m), dtype), axis=1) / m
    # Draws of another width are other draws; these must not depend on whether x64 is on.
    whole = jnp.int64 if delays.dtype == jnp.float64 else jnp.int32
    sure = jax.random.randint(ensure, (m, n), 0, resources, whole)
    uses = jax.random.bernoulli(choose, jnp.asarray(0.5, dtype), (m, n, resources))
    return CongestionGame(delays, uses | jax.nn.one_hot(sure, resources, dtype=bool))


@family("counts")
def grab_the_dollar(key: PRNGKeyArray, num_actions: int, dtype: Any = float) -> NormalFormGame:
    """Grab the dollar: who grabs first gains most, both at once tear it up; three random payoffs.

    Actions are times. The first gains the highest of three numbers uniform on [-1, 1], the other
    the middle one; at the same time both gain the lowest.

    Args:
        key: the source of randomness.
        num_actions: number of times to choose from.
        dtype: the floating-point type of the payoffs; default the default float.

    References:
        nudelman2004.
    """
    n = as_count(num_actions, "num_actions")
    levels = jnp.sort(uniform(key, (3,), dtype))
    lead = np.sign(np.arange(n) - np.arange(n)[:, None])  # 1 where the row player is first
    level = np.array([0, 2, 1])  # of lead 0, 1 and -1
    return NormalFormGame(levels[level[np.stack([lead, -lead])]])


@family("counts")
def location(key: PRNGKeyArray, num_actions: int, dtype: Any = float) -> MatrixGame:
    """A location game: two sellers on a line, customers go to the closer one; zero-sum, value 0.

    Customers at the places 0, ..., n - 1 are distributed at random; those halfway divide. The
    payoff is the row player's share of customers less the column player's. The median customer's
    place is an equilibrium for both.

    Args:
        key: the source of randomness.
        num_actions: number of places.
        dtype: the floating-point type of the payoffs; default the default float.

    References:
        hotelling1929.
    """
    places = np.arange(as_count(num_actions, "num_actions"))
    distance = abs(places[:, None] - places)
    closer = np.sign(distance[None, :, :] - distance[:, None, :])  # (row, column, customer)
    customers = jax.random.uniform(key, places.shape, dtype)
    shares = customers / customers.sum()
    lead = closer.astype(shares.dtype)
    return MatrixGame(jnp.matmul(lead, shares, precision=jax.lax.Precision.HIGHEST))


@family("counts")
def majority_voting(
    key: PRNGKeyArray, num_players: int, num_actions: int, dtype: Any = float
) -> NormalFormGame:
    """Plurality voting: each votes for a candidate and gains its own value of the winner.

    Values are independent and uniform on [-1, 1]; ties are won by the lowest number.

    Args:
        key: the source of randomness.
        num_players: number of voters.
        num_actions: number of candidates.
        dtype: the floating-point type of the payoffs; default the default float.

    References:
        nudelman2004.
    """
    m, n = as_count(num_players, "num_players"), as_count(num_actions, "num_actions")
    votes = np.indices((n,) * m)
    winner = np.stack([(votes == c).sum(0) for c in range(n)]).argmax(0)
    return NormalFormGame(uniform(key, (m, n), dtype)[:, winner])


@family("counts")
def war_of_attrition(key: PRNGKeyArray, num_actions: int, dtype: Any = float) -> NormalFormGame:
    """A war of attrition: who stays longer takes a prize; both pay for the time until one leaves.

    Actions are times to leave. The prize is worth a random amount to each player, uniform on
    [0, 1], and is divided when both leave at once; a step of time costs each player a random
    amount, uniform on [0, 1 / num_actions].

    Args:
        key: the source of randomness.
        num_actions: number of times to choose from.
        dtype: the floating-point type of the payoffs; default the default float.

    References:
        maynardsmith1974.
    """
    n = as_count(num_actions, "num_actions")
    prize, cost = jax.random.uniform(key, (2, 2, 1, 1), dtype)
    own, other = np.indices((n, n))
    wins = (np.sign(own - other) + 1) / 2
    share = np.stack([wins, 1 - wins]).astype(prize.dtype)
    time = np.broadcast_to(np.minimum(own, other), share.shape).astype(prize.dtype)
    return NormalFormGame(prize * share - cost / n * time)
