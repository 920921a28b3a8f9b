"""What people call things in a game tree."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from gamejax.extensive._form import SequenceForm
from gamejax.games import Labels
from gamejax.games._base import Part


@dataclasses.dataclass(frozen=True)
class TreeLabels(Labels):
    """Names of a game tree's players, information sets and actions.

    Attributes:
        form: the tree.
    """

    form: SequenceForm | None = None

    def parts(self, player: int, strategy: Any) -> list[Part]:
        """The behaviors at all information sets.

        Args:
            player: who.
            strategy: a realization plan, or behaviors of shape `(sets, actions)`.
        """
        assert self.form is not None
        tree = self.form.trees[player]
        given = jnp.asarray(strategy)
        behaviors = np.asarray(given if given.ndim == 2 else tree.behaviors(given))
        reach = np.asarray(tree.plan(given) if given.ndim == 2 else given)
        found = []
        for number, parent in enumerate(tree.parent.tolist()):
            where = self.form.information_set(player, number)
            own = behaviors[number, : len(where.actions)]
            found.append(Part(where.title, where.actions, own, float(reach[parent])))
        return found
