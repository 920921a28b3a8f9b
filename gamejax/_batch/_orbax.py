"""Checkpoints that several processes write together, by orbax."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gamejax._batch._crew import Crew


class Directory:
    """A directory of checkpoints that all processes see; the last complete one counts.

    Args:
        path: the directory.
        crew: the processes.

    Raises:
        ImportError: orbax is not installed.
    """

    def __init__(self, path: Path, crew: Crew):
        try:
            import orbax.checkpoint as ocp  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError(
                f"checkpoint directories need {error.name}: install it with "
                "pip install 'gamejax[checkpoint]'."
            ) from error
        self.ocp, self.crew = ocp, crew
        options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
        self.manager = ocp.CheckpointManager(path, options=options)
        self.mesh = Mesh(np.array(jax.devices() if crew.size > 1 else jax.devices()[:1]), ("all",))

    def header(self) -> dict[str, Any] | None:
        """The header of the last complete checkpoint, `None` where there is none."""
        step = self.manager.latest_step()
        if step is None:
            return None
        args = self.ocp.args.Composite(header=self.ocp.args.JsonRestore())
        return dict(self.manager.restore(step, args=args)["header"])

    def load(self, runs: list[list[np.ndarray]], rows: list[int]) -> list[list[np.ndarray]]:
        """All rows of the runs; `runs` tells their types, `rows` how many of them were saved."""
        sharding = NamedSharding(self.mesh, P())
        like = _named(
            [
                [jax.ShapeDtypeStruct((n, *x.shape[1:]), x.dtype, sharding=sharding) for x in own]
                for own, n in zip(runs, rows, strict=True)
            ]
        )
        args = self.ocp.args.Composite(runs=self.ocp.args.StandardRestore(like))
        found = self.manager.restore(self.manager.latest_step(), args=args)["runs"]
        return [
            [np.asarray(found[_name(i, j)].addressable_data(0)) for j in range(len(own))]
            for i, own in enumerate(runs)
        ]

    def save(self, header: dict[str, Any], runs: list[list[np.ndarray]]) -> None:
        """Write the rows of all processes."""
        if self.crew.size > 1:
            # One device of each process carries that process's rows.
            owners = {d.process_index: d for d in reversed(jax.devices())}
            mesh = Mesh(np.array([owners[i] for i in range(self.crew.size)]), ("all",))
            sharding = NamedSharding(mesh, P("all"))
            leaves = [
                [jax.make_array_from_process_local_data(sharding, x) for x in own] for own in runs
            ]
        else:
            leaves = runs
        ocp = self.ocp
        step = self.manager.latest_step()
        self.manager.save(
            0 if step is None else step + 1,
            args=ocp.args.Composite(
                header=ocp.args.JsonSave(header), runs=ocp.args.StandardSave(_named(leaves))
            ),
        )
        self.manager.wait_until_finished()


def _named(runs: list[list[Any]]) -> dict[str, Any]:
    return {_name(i, j): x for i, own in enumerate(runs) for j, x in enumerate(own)}


def _name(bucket: int, leaf: int) -> str:
    return f"bucket {bucket} leaf {leaf}"
