"""The processes that share a batch: each takes some games, and all get every answer."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh


class Crew(NamedTuple):
    """This process among those that work on a batch.

    Attributes:
        rank: its number.
        size: how many there are.
        devices: its own devices; none for the default one.
    """

    rank: int
    size: int
    devices: list[Any]

    def share(self, count: int) -> np.ndarray:
        """Which of `count` games this process takes: equally many everywhere, the last repeated."""
        each = -(-count // self.size)
        return np.minimum(np.arange(self.rank * each, (self.rank + 1) * each), count - 1)

    def meet(self, *values: float) -> np.ndarray:
        """What every process says, shape `(size, values)`; all have to come."""
        own = np.asarray([values], np.float32)
        return own if self.size == 1 else multihost_utils.process_allgather(own, tiled=True)

    def gather(self, tree: Any, count: int) -> Any:
        """The rows that all processes hold together, without the repeated ones."""
        if self.size > 1:
            tree = multihost_utils.process_allgather(tree, tiled=True)
        return jax.tree.map(lambda x: np.asarray(x)[:count], tree)


def crew_of(mesh: Mesh | None) -> Crew:
    """The crew of a mesh.

    Raises:
        TypeError: `mesh` is no mesh of devices.
        ValueError: the mesh spans some processes but not all.
    """
    if mesh is None:
        return Crew(0, 1, [])
    if not isinstance(mesh, Mesh):
        raise TypeError(
            f"mesh must be a jax.sharding.Mesh such as jax.make_mesh((8,), ('games',)), got "
            f"{type(mesh).__name__}."
        )
    owners = sorted({device.process_index for device in mesh.devices.flat})
    mine = jax.process_index()
    if owners == [mine]:
        return Crew(0, 1, list(mesh.devices.flat))
    if owners != list(range(jax.process_count())):
        raise ValueError(
            f"mesh must hold devices of this process alone or of all {jax.process_count()} "
            f"processes, got those of processes {owners} (this one is {mine})."
        )
    own = [device for device in mesh.devices.flat if device.process_index == mine]
    return Crew(mine, len(owners), own)
