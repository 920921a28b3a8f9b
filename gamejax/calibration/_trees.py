"""An auditor that grows a small tree of yes-no questions, by histograms as matrix products."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gamejax._numerics import safe_divide
from gamejax._types import Scalar
from gamejax.calibration._auditors import AbstractAuditor
from gamejax.calibration._encoding import Encoding
from gamejax.calibration._level_sets import coordinates


class Tree(NamedTuple):
    """Questions of the inner nodes, level by level, and what the leaves ask for."""

    questions: Int[Array, " inner"]
    values: Float[Array, "leaves coordinates"]


class TreeAuditor(AbstractAuditor):
    r"""A regression tree of residuals, one question per node, Newton values in the leaves.

    Questions are the rows of the design and, for each coordinate, whether the point's own
    prediction is at least $v/m$. A split's gain is
    $G_l^2/(H_l + \lambda) + G_r^2/(H_r + \lambda)$ with $G$ and $H$ the sums of residuals and
    curvatures, summed over coordinates; a leaf asks for $G/(H + \lambda)$. The sums of all
    questions are one product of the design with the residuals of the nodes; of two siblings the
    second follows from the parent. Under `vmap` over weights (folds, seeds) it stays one product.

    Args:
        depth: levels of questions; $2^{depth}$ leaves.
        num_levels: $m$.
        ridge: $\lambda \ge 0$, in curvature of points.
        least: the smallest curvature of a side of a split.
        share: the part of the questions, drawn anew for every tree, that may be asked; all of them
            where no key is given.

    References:
        chen2016; hebertjohnson2018.
    """

    depth: int = eqx.field(static=True, default=3)
    num_levels: int = eqx.field(static=True, default=4)
    ridge: float | Scalar = 5.0
    least: float | Scalar = 0.2
    share: float | Scalar = 0.3

    @property
    def encoding(self) -> Encoding:
        return "splits"

    def respond(
        self, design: Array, scores: Array, residuals: Array, curvature: Array,
        *, key: PRNGKeyArray | None = None,
    ) -> tuple[Tree, Array]:  # fmt: skip
        own = self._own(scores)
        width = residuals.shape[1]
        data = jnp.concatenate([residuals, curvature], axis=1).T
        masks = [jnp.ones_like(data[0])]
        sums = _answers(design, own, data)[None]
        total = data.sum(1)[None]
        asked, allowed = [], jnp.ones(sums.shape[1], bool)
        if key is not None:
            allowed = jax.random.bernoulli(key, self.share, allowed.shape)
        for level in range(self.depth):
            gain = jnp.where(allowed[None], self._gain(sums, total[:, None, :], width), -jnp.inf)
            best = jnp.argmax(gain, axis=1).astype(jnp.int32)
            asked.append(best)
            yes = _rows(design, own, best)
            left = jnp.take_along_axis(sums, best[:, None, None], axis=1)[:, 0]
            total = _interleave(left, total - left)
            masks = _split(masks, yes)
            if level + 1 < self.depth:
                lefts = (jnp.stack(masks[::2])[:, None, :] * data[None]).reshape(-1, data.shape[1])
                found = _answers(design, own, lefts).reshape(-1, len(best), data.shape[0])
                found = jnp.moveaxis(found, 1, 0)
                sums = _interleave(found, sums - found)
        values = safe_divide(total[:, :width], total[:, width:] + self.ridge)
        return Tree(jnp.concatenate(asked), values), _at_leaves(masks, values)

    def change(self, complaint: Tree, design: Array, scores: Array) -> Array:
        yes = _rows(design, self._own(scores), complaint.questions)
        masks, first = [jnp.ones_like(yes[0])], 0
        for _ in range(self.depth):
            level = yes[first : first + len(masks)]
            first += len(masks)
            masks = _split(masks, level)
        return _at_leaves(masks, complaint.values)

    def _own(self, scores: Array) -> Float[Array, "levels points"]:
        """Whether each coordinate of the prediction reaches each level."""
        own = coordinates(scores).T
        edges = jnp.arange(1, max(self.num_levels, 2), dtype=own.dtype) / max(self.num_levels, 2)
        reached = own[:, None, :] >= edges[None, :, None]
        return reached.reshape(-1, own.shape[1]).astype(own.dtype)

    def _gain(self, left: Array, total: Array, width: int) -> Array:
        """The gain of every question in every node; minus infinity where a side is too small."""
        right = total - left
        gain, smallest = 0, jnp.inf
        for side in (left, right):
            slope, steep = side[..., :width], side[..., width:]
            gain = gain + safe_divide(slope**2, steep + self.ridge).sum(-1)
            smallest = jnp.minimum(smallest, steep.sum(-1))
        return jnp.where(smallest >= self.least, gain, -jnp.inf)


def _answers(design: Array, own: Array, data: Array) -> Array:
    """For each question the sums of the rows of `data` over the points that say yes."""
    return jnp.concatenate([design @ data.T, own @ data.T], axis=0)


def _rows(design: Array, own: Array, questions: Array) -> Array:
    """The answers of all points to some questions."""
    last = design.shape[0] - 1
    fixed = design[jnp.minimum(questions, last)]
    current = own[jnp.clip(questions - design.shape[0], 0, own.shape[0] - 1)]
    return jnp.where((questions <= last)[:, None], fixed, current)


def _split(masks: list[Array], yes: Array) -> list[Array]:
    """The points of each node that say yes, and those that say no."""
    return [half for m, y in zip(masks, yes, strict=True) for half in (m * y, m * (1 - y))]


def _at_leaves(masks: list[Array], values: Array) -> Float[Array, "points coordinates"]:
    """What the leaf of each point asks for; term by term, so that no mask is written to memory."""
    columns = [sum(m * v for m, v in zip(masks, own, strict=True)) for own in values.T]
    return jnp.stack([jnp.asarray(c) for c in columns], axis=1)


def _interleave(first: Array, second: Array) -> Array:
    return jnp.stack([first, second], axis=1).reshape(-1, *first.shape[1:])
