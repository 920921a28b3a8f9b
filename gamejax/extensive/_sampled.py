"""Trees of which each round shows only a sample: Monte-Carlo counterfactual regret minimization."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._types import Scalar, State, Utility
from gamejax.extensive._descent import descent, look, walk_down
from gamejax.extensive._form import SequenceForm
from gamejax.extensive._game import SequenceFormGame
from gamejax.extensive._names import TreeLabels
from gamejax.games import AbstractGame, Labels
from gamejax.sets import Treeplex

Sampling = Literal["external", "outcome", "chance"]


class SampledGame(AbstractGame):
    r"""A tree game each of whose rounds is a draw; see `sampled`.

    `utility` is the expectation, so that certificates are exact.

    Attributes:
        game: the tree.
        sampling: what is drawn.
        exploration: $\epsilon$ of outcome sampling.
    """

    game: SequenceFormGame
    sampling: Sampling = eqx.field(static=True)
    exploration: Scalar | float

    def __init__(self, game: SequenceFormGame, sampling: Sampling, exploration: Any = 0.0):
        self.game, self.sampling, self.exploration = game, sampling, exploration
        self.labels: Labels | None = game.labels

    @property
    def strategy_sets(self) -> tuple[Treeplex, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Each player's realization plans."""
        return self.game.strategy_sets

    @property
    def form(self) -> SequenceForm:
        """The tree."""
        return self.game.form

    @property
    def names(self) -> TreeLabels:
        """Names of the players, information sets and actions."""
        return self.game.names

    @property
    def dtype(self) -> Any:
        return self.game.dtype

    @property
    def merged(self) -> "SampledGame | None":
        """Draws from the merged game, where information sets merge; what `Merged` solvers play."""
        merged = self.game.merged
        return None if merged is None else SampledGame(merged, self.sampling, self.exploration)

    def utility(self, player: int, profile: tuple[Array, ...]) -> Utility:
        return self.game.utility(player, profile)

    def utility_range(self, player: int) -> Scalar:
        return self.game.utility_range(player)

    def residual(self, profile: tuple[Array, ...]) -> tuple[Array, ...]:
        return self.game.residual(profile)

    def sample(
        self,
        profile: tuple[Array, ...],
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[tuple[Utility, ...], State]:
        if key is None:
            raise ValueError(
                "The moves of a sampled game are drawn: pass key=jax.random.key(seed)."
            )
        keys = [jax.random.fold_in(key, i) for i in range(self.num_players)]
        return tuple(self._drawn(i, profile, k) for i, k in enumerate(keys)), state

    def num_draws(self, player: int) -> int:
        """How many random numbers an estimate for one player takes."""
        return descent(self.form, self.followed(player)).num_draws

    def estimate(
        self, player: int, profile: tuple[Array, ...], noise: Float[Array, " draws"]
    ) -> Utility:
        """One player's gradient as estimated from given numbers between 0 and 1.

        Args:
            player: whose.
            profile: everybody's realization plans.
            noise: one number per draw, `num_draws(player)` of them; the mean of the estimates over
                independent uniform ones is `utility(player, profile)`.
        """
        form = self.form
        walk = descent(form, self.followed(player))
        weights = jnp.concatenate([*profile, jnp.asarray(walk.nature, profile[0].dtype)])
        explorer = player if self.sampling == "outcome" else None
        found = walk_down(walk, weights, noise, explorer=explorer, exploration=self.exploration)
        values = self._worth(player, found.leaves)
        if self.sampling == "chance":
            for other, plan in enumerate(profile):
                if other != player:
                    values = values * plan[look(_ended(form.sequences[other]), found.leaves)]
        if self.sampling == "outcome":
            values = values / found.reach
        own = look(_ended(form.sequences[player]), found.leaves)
        return jnp.zeros_like(profile[player]).at[own].add(values)

    def followed(self, player: int) -> tuple[int, ...]:
        """Whose moves are followed, all of them, when this player's gradient is estimated."""
        everybody = tuple(range(self.num_players))
        return {"external": (player,), "outcome": (), "chance": everybody}[self.sampling]

    def _worth(self, player: int, leaves: Array) -> Array:
        """Payoffs at leaves, times how much likelier nature makes them than when the tree was made.

        Nothing where there is no leaf.
        """
        game, drawn = self.game, self.form.history.leaf_chances()
        paid = game.payoffs.at[player, leaves].get(mode="fill", fill_value=0)
        chance = game.chance.at[leaves].get(mode="fill", fill_value=0)
        drawn = np.append(np.where(drawn > 0, drawn, 1), 1).astype(chance.dtype)
        return paid * chance / look(drawn, leaves)

    def _drawn(self, player: int, profile: tuple[Array, ...], key: PRNGKeyArray) -> Utility:
        noise = jax.random.uniform(key, (self.num_draws(player),), profile[player].dtype)
        return self.estimate(player, profile, noise)


def sampled(
    game: SequenceFormGame,
    sampling: Sampling = "external",
    *,
    exploration: Any = None,
) -> SampledGame:
    r"""The same game, each round of which shows the players only a draw of it.

    Played by counterfactual regret minimization it is Monte-Carlo CFR, for instance
    `solve(sampled(game), cfr(), key=key)`. Player $i$ sees an unbiased estimate of the gradient of
    its payoff. A walk down the tree reaches some leaves $\ell$; each adds to the estimate at the
    player's sequence $\sigma_i(\ell)$

    * `"external"`: $p_{i\ell}$; nature's and the others' moves are drawn, all own moves followed;
    * `"outcome"`: $p_{i\ell} / \xi_i(\ell)$; all moves are drawn, the own ones from
      $(1-\epsilon)\, b_i + \epsilon / n$, under which they have probability $\xi_i(\ell)$;
    * `"chance"`: $p_{i\ell} \prod_{k \ne i} x_{k, \sigma_k(\ell)}$; only nature's moves are drawn.

    With regret matching the regrets grow like $\sqrt T$, as without sampling, with high
    probability; the certificate stays exact, since `utility` is the expectation. Nature is drawn
    with the probabilities with which the tree was made; under others (`with_payoffs`) leaves are
    weighed.

    A round reads few leaves but moves all information sets. In time it pays only where leaves are
    many times the sequences; counted in leaves read, from early on.

    Args:
        game: the tree.
        sampling: what is drawn.
        exploration: $\epsilon$ of outcome sampling, above 0 and at most 1; 0.6 by default.

    Raises:
        TypeError: `game` is no tree.
        ValueError: there is no such sampling, `exploration` is out of range or has no meaning, or
            nature reaches leaves that it could not reach when the tree was made.

    References:
        lanctot2009.
    """
    if not isinstance(game, SequenceFormGame):
        raise TypeError(f"game must be a SequenceFormGame, got {type(game).__name__}.")
    if sampling not in ("external", "outcome", "chance"):
        raise ValueError(f'sampling must be "external", "outcome" or "chance", got {sampling!r}.')
    if sampling != "outcome" and exploration is not None:
        raise ValueError(f'exploration belongs to "outcome" sampling, not to {sampling!r}.')
    exploration = 0.6 if exploration is None else exploration
    if not isinstance(exploration, Tracer) and not np.all((exploration > 0) & (exploration <= 1)):
        raise ValueError(f"exploration must be above 0 and at most 1, got {exploration}.")
    never = game.form.history.leaf_chances() == 0
    if not isinstance(game.chance, Tracer) and np.any(np.asarray(game.chance)[..., never] > 0):
        raise ValueError(
            "nature reaches leaves that had probability 0 when the tree was made, so that they "
            "would never be drawn; make the tree anew."
        )
    return SampledGame(game, sampling, exploration if sampling == "outcome" else 0.0)


def _ended(sequences: np.ndarray) -> np.ndarray:
    """A player's sequences at leaves; the empty one where there is no leaf."""
    return np.append(sequences, 0).astype(np.int32)
