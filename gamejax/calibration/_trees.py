"""An auditor that grows a small tree of yes-no questions, by histograms as matrix products."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gamejax._checks import check_count
from gamejax._numerics import HIGHEST, safe_divide, uniform
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
    prediction is at least $v/m$, $0 < v < m$. A split's gain is
    $G_l^2/(H_l + \lambda) + G_r^2/(H_r + \lambda)$ with $G$ and $H$ the sums of residuals and
    curvatures, summed over coordinates; a leaf asks for $G/(H + \lambda)$. The sums of all
    questions are one product of the design with the residuals of the nodes; of two siblings the
    second follows from the parent. Under `vmap` over weights (folds, seeds) it stays one product
    while the key is the same.

    Args:
        depth: levels of questions; $2^{depth}$ leaves.
        num_levels: $m$; 1: no questions about the point's own prediction. The scores to correct are
            among the features of a `Multicalibrator`.
        ridge: $\lambda \ge 0$, in curvature of points.
        least: the smallest curvature of a side of a split.
        share: the part of the questions, drawn anew for every tree, that may be asked; all of them
            where no key is given.

    Raises:
        ValueError: `share` is not in (0, 1], or `depth` or `num_levels` is below 1.

    References:
        chen2016; hebertjohnson2018.
    """

    depth: int = eqx.field(static=True, default=3)
    num_levels: int = eqx.field(static=True, default=1)
    ridge: float | Scalar = 20.0
    least: float | Scalar = 0.2
    share: float = eqx.field(static=True, default=0.4)

    def __check_init__(self) -> None:
        check_count(self.depth, "depth", 1)
        check_count(self.num_levels, "num_levels", 1)
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {self.share}.")

    @property
    def encoding(self) -> Encoding:
        return "splits"

    def respond(
        self, design: Array, scores: Array, residuals: Array, curvature: Array,
        *, key: PRNGKeyArray | None = None,
    ) -> tuple[Tree, Array]:  # fmt: skip
        width = residuals.shape[1]
        data = jnp.concatenate([residuals, curvature], axis=1).T
        own = self._own(scores)
        drawn, allowed = self._draw(design.shape[0], own.shape[0], key)
        table = design[drawn].astype(data.dtype)
        numbers = jnp.concatenate([drawn, design.shape[0] + jnp.arange(len(own), dtype=jnp.int32)])
        sums, total = _answers(table, own, data[None]), data.sum(1)[None]
        asked, answers = [], []
        masks = [jnp.ones(data.shape[1], bool)]
        for level in range(self.depth):
            gain = jnp.where(allowed[None], self._gain(sums, total[:, None, :], width), -jnp.inf)
            best = jnp.argmax(gain, axis=1).astype(jnp.int32)
            asked.append(numbers[best])
            answers.append(_rows(table, own, best))
            left = jnp.take_along_axis(sums, best[:, None, None], axis=1)[:, 0]
            total = _interleave(left, total - left)
            if level + 1 < self.depth:
                pairs = zip(masks, answers[-1], strict=True)
                masks = [side for m, yes in pairs for side in (m & yes, m & ~yes)]
                lefts = jnp.stack([jnp.where(m, data, 0) for m in masks[::2]])
                found = _answers(table, own, lefts)
                sums = _interleave(found, sums - found)
        values = safe_divide(total[:, :width], total[:, width:] + self.ridge)
        return Tree(jnp.concatenate(asked), values), _at_leaves(answers, values)

    def change(self, complaint: Tree, design: Array, scores: Array) -> Array:
        rows = _rows(design, self._own(scores), complaint.questions)
        answers = [rows[2**level - 1 : 2 ** (level + 1) - 1] for level in range(self.depth)]
        return _at_leaves(answers, complaint.values)

    def _draw(
        self, fixed: int, own: int, key: PRNGKeyArray | None
    ) -> tuple[Int[Array, " drawn"], Bool[Array, " questions"]]:
        """The rows of the design that are looked at, and which questions may be asked."""
        if key is None:
            return jnp.arange(fixed, dtype=jnp.int32), jnp.ones(fixed + own, bool)
        lots = uniform(key, jnp.float32, (fixed + own,))
        count = max(1, round(self.share * fixed))
        drawn = jnp.argsort(lots[:fixed])[:count].astype(jnp.int32)
        return drawn, jnp.concatenate([jnp.ones(count, bool), lots[fixed:] < self.share])

    def _own(self, scores: Array) -> Bool[Array, "levels points"]:
        """Whether each coordinate of the prediction reaches each level."""
        own = coordinates(scores).T
        edges = jnp.arange(1, self.num_levels, dtype=own.dtype) / self.num_levels
        return (own[:, None, :] >= edges[None, :, None]).reshape(-1, own.shape[1])

    def _gain(self, left: Array, total: Array, width: int) -> Array:
        """The gain of every question in every node; minus infinity where a side is too small."""
        right = total - left
        gain, smallest = 0, jnp.inf
        for side in (left, right):
            slope, steep = side[..., :width], side[..., width:]
            gain = gain + safe_divide(slope**2, steep + self.ridge).sum(-1)
            smallest = jnp.minimum(smallest, steep.sum(-1))
        return jnp.where(smallest >= self.least, gain, -jnp.inf)


def _answers(table: Array, own: Array, data: Array) -> Float[Array, "nodes questions sums"]:
    """Of every node the sums of the rows of its `data` over the points that say yes."""
    rows = data.reshape(-1, data.shape[-1])
    found = [jnp.matmul(t, rows.T, precision=HIGHEST) for t in (table, own.astype(rows.dtype))]
    return jnp.moveaxis(jnp.concatenate(found).reshape(-1, *data.shape[:2]), 0, 1)


def _rows(table: Array, own: Array, questions: Array) -> Bool[Array, "questions points"]:
    """The answers of all points to some questions."""
    last = table.shape[0] - 1
    fixed = table[jnp.minimum(questions, last)].astype(bool)
    if not len(own):
        return fixed
    current = own[jnp.clip(questions - last - 1, 0, len(own) - 1)]
    return jnp.where((questions <= last)[:, None], fixed, current)


def _at_leaves(answers: list[Array], values: Array) -> Float[Array, "points coordinates"]:
    """What the leaf of each point asks for; choices from the last level up, no gathers."""
    columns = []
    for own in values.T:
        found = list(own)
        for yes in reversed(answers):
            found = [jnp.where(y, found[2 * i], found[2 * i + 1]) for i, y in enumerate(yes)]
        columns.append(found[0])
    return jnp.stack(columns, axis=1)


def _interleave(first: Array, second: Array) -> Array:
    return jnp.stack([first, second], axis=1).reshape(-1, *first.shape[1:])
