"""What `solve` and `play` return."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array

from gamejax._export import AbstractResult, table
from gamejax._reasons import RESULTS as RESULTS
from gamejax._types import Scalar, State


class Solution(AbstractResult):
    r"""What `solve` returns: a profile, its certificate, and why the run ended.

    Attributes:
        profile: one strategy per player, or a `Joint`.
        gap: the certificate, recomputed from `profile` alone: by default the solver's own
            (`nash_gap` for Nash solvers), in units of payoff.
        result: a `RESULTS`; `RESULTS.successful` where `gap` is at most the tolerance.
        stats: `num_steps`, the payoffs and gains of each player, and what the solver adds.
        state: the solver's last state; `init=` takes the solution to go on from there.
        labels: names of players and actions, where the game has them.
    """

    profile: Any  # a `Profile`; only the solver knows whether it is a `Joint`
    gap: Scalar
    result: RESULTS
    stats: dict[str, Any]
    state: State
    labels: Any = eqx.field(static=True, default=None)

    def __str__(self) -> str:
        from gamejax._show import describe  # it imports this module

        return describe(self)

    def _entries(self) -> Mapping[str, Any]:
        from gamejax._show import entries

        return entries(self)

    def _columns(self) -> dict[str, Any]:
        """A row for each action (of a `Joint` for each profile), of a batch for each game."""
        from gamejax._show import columns

        return columns(self)


class Trajectory(AbstractResult):
    """What `play` returns: the gap along the way, records, and the final solution.

    Attributes:
        steps: step counts at which something was recorded, shape `(records,)`.
        gaps: the solver's certificate of what it vouched for then, shape `(records,)`.
        records: what the recording function returned, stacked along a leading axis; or `None`.
        solution: the `Solution` after the last step.
    """

    steps: Array
    gaps: Array
    records: Any
    solution: Solution

    def __str__(self) -> str:
        from gamejax._show import describe_run

        return describe_run(self)

    def _columns(self) -> dict[str, Any]:
        """A row for each record; a batch of runs has a column `game` as well."""
        leaves, shape = {}, self.gaps.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.records):
            if leaf.shape[: len(shape)] == shape:
                leaves["records" + jax.tree_util.keystr(path)] = leaf
        batch = {"game": None} if len(shape) == 2 else {}
        values = {"steps": self.steps, "gap": self.gaps, **leaves}
        return table({**batch, "record": None}, values, shape)
