"""The game of multicalibration: a predictor against an auditor of groups and level sets."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gamejax._types import Scalar, State, Strategy, Utility
from gamejax.calibration._groups import Membership
from gamejax.calibration._level_sets import Levels
from gamejax.calibration._multicalibration_error import (
    Normalization,
    Violation,
    scale_of,
    violation,
)
from gamejax.games import AbstractGame
from gamejax.sets import AbstractStrategySet, Simplex


class Objectives(eqx.Module):
    r"""The losses $\ell_{S,v,j,s}$ by which an auditor judges predictions, as a player's payoffs.

    Attributes:
        levels: which predictions are alike.
        scale: $1/w_S$ for each group.
    """

    levels: Levels
    scale: Float[Array, " groups"]

    def shape(self, num_classes: int) -> tuple[int, int, int, int]:
        """Groups, level sets, coordinates, signs."""
        width = 1 if num_classes == 2 else num_classes
        return (self.scale.shape[0], self.levels.count(num_classes), width, 2)

    def utility(
        self,
        mixture: Float[Array, " objectives"],
        scores: Float[Array, "points classes"],
        groups: Membership,
    ) -> Float[Array, "points classes"]:
        r"""Minus the loss of each class at each point, $-\sum_q (1/w_S)(1/2 + (s/2) e_j)$.

        The sum is over the objectives, weighted by the mixture, in whose group and level set the
        point is: a point that is in none has utility exactly 0.
        """
        num_classes = scores.shape[-1]
        weights = mixture.reshape(self.shape(num_classes)) * self.scale[:, None, None, None]
        codes = self.levels.codes(scores)
        over, under = weights[..., 0], weights[..., 1]
        active = groups.gather(over + under, codes).sum(-1, keepdims=True)
        own = groups.gather(over - under, codes)
        if num_classes == 2:
            own = jnp.concatenate([jnp.zeros_like(own), own], axis=-1)
        return -(active + own) / 2


class MulticalibrationGame(AbstractGame):
    r"""A predictor, who puts a distribution over classes on every point, against an auditor.

    The auditor mixes objectives $(S, v, j, s)$, a group, a level set, a class and a sign, and gains
    $s R_{S,v,j}(h)/w_S$ by each: a best response gains the multicalibration error. The predictor's
    utility at a point is minus its loss by the objectives in which the point counts, as if its
    level set were fixed; points of weight 0 are predicted too, and nobody gains by them.

    Attributes:
        targets: labels as distributions, `(points, classes)`.
        groups: who belongs where.
        weights: of the points, summing to one; 0 for points held out.
        levels: which predictions are alike.
        normalization: how the weights $w_S$ are made.
        monitors: other weights of the points under which errors are reported; the first of them,
            where there is one, chooses among the rounds.
        batch_size: points drawn anew in every round, by which the auditor judges; default all.

    References:
        haghtalab2023.
    """

    targets: Float[Array, "points classes"]
    groups: Membership
    weights: Float[Array, " points"]
    levels: Levels
    normalization: Normalization = eqx.field(static=True)
    monitors: Float[Array, "sets points"]
    batch_size: int | None = eqx.field(static=True)

    def __init__(
        self,
        targets: Array,
        groups: Membership,
        weights: Array,
        levels: Levels,
        normalization: Normalization,
        monitors: Array,
        batch_size: int | None = None,
    ):
        self.targets, self.groups, self.weights = targets, groups, weights
        self.levels, self.normalization, self.monitors = levels, normalization, monitors
        self.batch_size = batch_size

    @property
    def strategy_sets(  # pyright: ignore[reportIncompatibleVariableOverride]
        self,
    ) -> tuple[AbstractStrategySet, ...]:
        num_groups, num_levels, width, signs = self.objectives.shape(self.targets.shape[-1])
        return Simplex(self.targets.shape), Simplex(num_groups * num_levels * width * signs)

    @property
    def objectives(self) -> Objectives:
        """What the auditor can complain about."""
        return Objectives(self.levels, scale_of(self.groups.mass(self.weights), self.normalization))

    def violation(self, scores: Strategy, weights: Array | None = None) -> Violation:
        """The worst bias of predictions; with other `weights`, on other points."""
        weights = self.weights if weights is None else weights
        return violation(
            scores, self.targets, self.groups, weights, self.levels, self.normalization
        )

    def utility(self, player: int, profile: tuple[Strategy, ...]) -> Utility:
        scores, mixture = profile
        if player == 0:
            return self.objectives.utility(mixture, scores, self.groups)
        return _both_signs(self.violation(scores).violations)

    def sample(
        self,
        profile: tuple[Strategy, ...],
        state: State,
        *,
        key: PRNGKeyArray | None,
        step: Array,
    ) -> tuple[tuple[Utility, ...], State]:
        """With `batch_size`, what the auditor gains on points drawn by their weights; unbiased."""
        if self.batch_size is None:
            return self.utilities(profile), state
        if key is None:
            raise ValueError("batch_size draws points: pass key=jax.random.key(...).")
        scores, chances = profile[0], self.weights
        drawn = jax.random.choice(key, chances.shape[0], (self.batch_size,), p=chances)
        alike = jnp.full_like(chances, 1 / self.batch_size, shape=self.batch_size)
        targets, groups = self.targets[drawn], self.groups.rows(drawn)
        seen = violation(scores[drawn], targets, groups, alike, self.levels, "points")
        biases = seen.violations * self.objectives.scale[:, None, None]
        return (self.utility(0, profile), _both_signs(biases)), state


def _both_signs(biases: Float[Array, "groups levels coordinates"]) -> Utility:
    return jnp.stack([biases, -biases], axis=-1).reshape(-1)


def selection_error(game: Any, profile: Any) -> Scalar:
    """The multicalibration error by which rounds are compared: held out, where points are."""
    weights = game.monitors[0] if game.monitors.shape[0] else game.weights
    return game.violation(profile[0], weights).error
