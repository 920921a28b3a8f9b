"""Concave optimization where every look at a new part of the simplex has a price (OODS)."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._export import AbstractResult
from gamejax._joint import Joint
from gamejax._numerics import safe_log
from gamejax._solve import play
from gamejax._types import Numbers, Profile, Scalar, State, Strategy, Utility
from gamejax.games import AbstractGame, Labels
from gamejax.learners import Hedge
from gamejax.multidistribution._observable import (
    Caps,
    Geometry,
    as_geometry,
    ask,
    check_margin,
    no_caps,
)
from gamejax.sets import AbstractStrategySet, Simplex
from gamejax.solvers import SelfPlay


class OnDemandOptimization(AbstractGame):
    r"""A one-player game whose gradients are only to be had inside an observable set.

    The player maximises a concave $f$ on the simplex of $k$ distributions. A gradient at $w$ needs
    $w \in O(c)$; where it is not, one sampling round raises the caps to
    $c_i = C \max_{\tau \le t} w_{\tau,i}$. Caps and rounds are the game's state (`Caps`):
    $\sum_i c_i$ is the sample overhead. With Hedge this is LazyHedge: overhead
    $O(C \log^8(k/\varepsilon))$, and at overhead $s$ no more than $\tilde O(k/s)$ rounds with boxes
    or $\tilde O(\sqrt{k/s})$ with ellipsoids; any learner can play it.

    Args:
        objective: $f$, a game with one player on a `Simplex(k)`: `HiddenCoordinates`, or a
            `ContinuousGame([f], [Simplex(k)])`.
        margin: $C > 1$: larger caps, fewer rounds.
        geometry: `"box"`, `"ellipsoid"`, or a boolean array that says where it is the latter.

    Raises:
        TypeError: `objective` is no game.
        ValueError: it has several players or no plain simplex; `margin` or `geometry` is wrong.

    References:
        haghtalab2025 (OODS and LazyHedge).
    """

    objective: AbstractGame
    margin: float | Scalar
    ellipsoid: Any

    def __init__(
        self,
        objective: AbstractGame,
        margin: float | Scalar = 2.0,
        geometry: Geometry = "box",
        *,
        labels: Labels | None = None,
    ):
        if not isinstance(objective, AbstractGame):
            raise TypeError(
                f"objective must be a game with one player, got {type(objective).__name__}; wrap a "
                "function as gamejax.games.ContinuousGame([f], [gamejax.sets.Simplex(k)])."
            )
        own = objective.strategy_sets[0]
        if objective.num_players != 1 or not isinstance(own, Simplex) or len(own.shape) != 1:
            raise ValueError(
                f"objective must have one player on one Simplex, got {objective.num_players} "
                f"player(s), the first on a {type(own).__name__} of shape {own.shape}."
            )
        check_margin(margin)
        self.objective, self.margin = objective, margin
        self.labels = labels
        self.ellipsoid = as_geometry(geometry)

    @property
    def strategy_sets(  # pyright: ignore[reportIncompatibleVariableOverride]
        self,
    ) -> tuple[AbstractStrategySet, ...]:
        return self.objective.strategy_sets

    @property
    def dtype(self) -> Any:
        return self.objective.dtype

    def utility(self, player: int, profile: tuple[Strategy, ...]) -> Utility:
        return self.objective.utility(player, profile)

    def expected_payoffs(self, profile: tuple[Strategy, ...] | Joint) -> Float[Array, " players"]:
        return self.objective.expected_payoffs(profile)

    def utility_range(self, player: int) -> Scalar | None:
        return self.objective.utility_range(player)

    def init(self, *, key: PRNGKeyArray | None, dtype: Any) -> tuple[Caps, State]:
        caps = no_caps(self.strategy_sets[0].center(dtype))
        return caps, self.objective.init(key=key, dtype=dtype)

    def sample(
        self,
        profile: tuple[Strategy, ...],
        state: tuple[Caps, State],
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[tuple[Utility, ...], tuple[Caps, State]]:
        caps, inner = state
        caps = ask(caps, profile[0], self.margin, self.ellipsoid)
        utilities, inner = self.objective.sample(profile, inner, key=key, step=step)
        return utilities, (caps, inner)


def marginals(profile: Profile) -> tuple[Strategy, ...]:
    """The profile itself; of a `Joint` its marginals."""
    return profile.marginals if isinstance(profile, Joint) else profile


class HiddenCoordinates(AbstractGame):
    r"""The hard instance $f(w) = \min_{j \le m} \{w_{i_j} + j/m^2\}$ with secret indices $i_j$.

    The supergradient at $w$ is $e_{i_j}$ of the minimising $j$ (the first of several). So an
    algorithm finds the indices one after another, and caps that are small elsewhere force it to
    ask for each. With $\varepsilon \le O(1/k)$ every algorithm of overhead $s$ needs
    $\Omega(\sqrt{k/s})$ rounds with boxes and $\Omega((k/s)^{1/4})$ with ellipsoids.

    Args:
        num_coordinates: $k$.
        indices: $i_1, \ldots, i_m$, different integers from 0 to $k - 1$.
        dtype: of payoffs; default the default float.

    Raises:
        ValueError: `indices` is no vector of 1 to $k$ entries.

    References:
        haghtalab2025 (lower bounds).
    """

    indices: Int[Array, " m"]
    shifts: Float[Array, " m"]
    strategy_sets: tuple[AbstractStrategySet, ...]

    def __init__(self, num_coordinates: int, indices: Numbers, dtype: Any = None):
        self.indices = jnp.asarray(indices, jnp.int32)
        if self.indices.ndim != 1 or not 1 <= self.indices.size <= num_coordinates:
            raise ValueError(
                f"indices must be a vector of 1 to {num_coordinates} entries, one per hidden "
                f"coordinate, got shape {self.indices.shape}."
            )
        m = self.indices.size
        steps = jnp.arange(1, m + 1, dtype=jnp.result_type(float) if dtype is None else dtype)
        self.shifts = steps / (m * m)
        self.strategy_sets = (Simplex(num_coordinates),)

    def _terms(self, point: Array) -> Float[Array, " m"]:
        return point[self.indices] + self.shifts.astype(point.dtype)

    def utility(self, player: int, profile: tuple[Strategy, ...]) -> Utility:
        lowest = self.indices[jnp.argmin(self._terms(profile[0]))]
        return jax.nn.one_hot(lowest, profile[0].shape[-1], dtype=profile[0].dtype)

    def expected_payoffs(self, profile: Profile) -> Float[Array, " players"]:
        return self._terms(marginals(profile)[0]).min()[None]

    def utility_range(self, player: int) -> Scalar:
        return jnp.ones_like(self.shifts[..., 0])

    @property
    def value(self) -> Scalar:
        r"""$\max_w f(w)$: the $v$ with $\sum_j \max(0, v - j/m^2) = 1$ (water-filling)."""
        count = jnp.arange(1, self.shifts.shape[-1] + 1, dtype=self.shifts.dtype)
        # j v - (first j shifts) never exceeds the sum, and equals it where the first j are wet.
        return jnp.min((1 + jnp.cumsum(self.shifts)) / count)


class OnDemandMaximum(AbstractResult):
    r"""What LazyHedge found on a concave function, and what it cost.

    Attributes:
        point: the average $\bar w$ of the points asked about.
        value: $f(\bar w)$.
        caps: the last `Caps`: `caps.num_rounds` sampling rounds, `caps.overhead` samples.
        bound: $\max f - f(\bar w)$ is at most this in exact arithmetic: $\ln k/(\eta T) + \eta/8$
            times the range of the gradients ($R$, $R^2$).
        gap: an upper bound of $\max f - f(\bar w)$ that needs no knowledge of $f$:
            $\max_i g_i - \langle g, \bar w\rangle$ with the gradient $g$ there.
    """

    point: Float[Array, " k"]
    value: Scalar
    caps: Caps
    bound: Scalar
    gap: Scalar


def maximize_on_demand(
    objective: AbstractGame,
    num_steps: int,
    *,
    learning_rate: float | Scalar = 0.01,
    margin: float | Scalar = 2.0,
    geometry: Geometry = "box",
    gradient_range: float | Scalar = 1.0,
    start: Strategy | None = None,
    key: PRNGKeyArray | None = None,
) -> OnDemandMaximum:
    r"""Maximise a concave function on the simplex with few sampling rounds (LazyHedge).

    Hedge on the gradients, $w_{t+1} \propto w_t \exp(\eta \nabla f(w_t))$, in
    `OnDemandOptimization`: `play` of that game with `SelfPlay(Hedge(learning_rate))`. One compiled
    program; map it with `jax.vmap` over objectives, rates, margins and geometries.

    Args:
        objective: $f$, a game with one player on a `Simplex(k)`.
        num_steps: $T$, of the order $\ln k/\varepsilon^2$.
        learning_rate: $\eta$, of the order $\varepsilon$.
        margin: $C > 1$.
        geometry: `"box"`, `"ellipsoid"` or a boolean array (True: ellipsoid).
        gradient_range: $R$, largest minus smallest entry of a gradient; only `bound` needs it.
        start: $w_1$, with no entry 0; default uniform. Where it is far from uniform, `bound` has
            $\max_i \ln(1/w_{1,i})$ in place of $\ln k$.
        key: for objectives that draw.

    References:
        haghtalab2025.
    """
    game = OnDemandOptimization(objective, margin, geometry)
    solver = SelfPlay(Hedge(learning_rate))
    init = None if start is None else (start,)
    solution = play(game, solver, num_steps, key=key, init=init, record=num_steps).solution
    (point,) = marginals(solution.profile)
    rate, span = (jnp.asarray(x, point.dtype) for x in (learning_rate, gradient_range))
    distance = game.strategy_sets[0].entropy_range(point.dtype)
    if start is not None:
        distance = -safe_log(start.min())
    return OnDemandMaximum(
        point=point,
        value=game.expected_payoffs((point,))[0],
        caps=solution.state.game[0],
        bound=distance / (rate * num_steps) + rate * span * span / 8,
        gap=solution.gap,
    )
