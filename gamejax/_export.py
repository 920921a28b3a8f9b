"""How results leave the library: as plain Python data, JSON and pandas tables."""

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer

from gamejax._reasons import RESULTS, result_names

if TYPE_CHECKING:
    from pandas import DataFrame


class AbstractResult(eqx.Module):
    """What a front door returns: arrays to compute with, and ways to take them elsewhere.

    A batch of results, as `jax.vmap` makes it, exports too; its leading axes come first.
    """

    def to_dict(self) -> dict[str, Any]:
        """The result as plain Python data: dictionaries, lists, numbers, strings and `None`.

        Arrays become nested lists, complex ones a dictionary of their parts. States that only the
        library can use are left out.

        Raises:
            TypeError: inside `jit`, `vmap` or `grad`, where there are no numbers yet.
        """
        self._require_numbers()
        return {name: plain(value) for name, value in self._entries().items()}

    def to_json(self, path: str | os.PathLike[str] | None = None, *, indent: int | None = 2) -> str:
        """The result as JSON. Infinite and undefined numbers become `null`, which is all JSON has.

        Args:
            path: a file to write it to as well.
            indent: spaces per level; `None` puts everything on one line.
        """
        text = json.dumps(_finite(self.to_dict()), indent=indent, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def to_pandas(self) -> "DataFrame":
        """The result as a table.

        A row is one action of one player (`Solution`), one record (`Trajectory`), one distribution
        (`OnDemandResult`), one time of one replication (`BanditResult`, `OnlineForecast`); of other
        results an entry of the axes that all their arrays share.

        Raises:
            ImportError: pandas is missing; the message says what to install.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise ImportError(
                f"to_pandas needs {error.name}: install it with pip install pandas."
            ) from None
        self._require_numbers()
        return DataFrame(self._columns())

    def _require_numbers(self) -> None:
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(self)):
            raise TypeError("a result can be exported outside jit, vmap and grad only.")

    def _entries(self) -> Mapping[str, Any]:
        """What is exported, by name."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in fields.items() if name not in ("state", "static")}

    def _columns(self) -> dict[str, Any]:
        """The columns of the table, all of one length."""
        found = {n: v for n, v in self._entries().items() if isinstance(v, jax.Array | np.ndarray)}
        shapes = [np.shape(value) for value in found.values() if np.ndim(value)]
        zipped = zip(*shapes, strict=False)
        shared = itertools.takewhile(lambda sizes: len(set(sizes)) == 1, zipped)
        return table({}, found, tuple(sizes[0] for sizes in shared))


def table(
    index: Mapping[str, Any], values: Mapping[str, Any], shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Columns of a long table: a row for each entry of the leading axes, which have this shape.

    Args:
        index: columns that say which row it is: labels along one axis, by the axis's place.
        values: arrays that begin with `shape`, or scalars; further axes become columns with a
            number in their name.
        shape: of the leading axes.
    """
    rows = int(np.prod(shape, dtype=int))
    columns = {}
    for axis, (name, labels) in enumerate(index.items()):
        places = np.arange(shape[axis]) if labels is None else np.asarray(labels)
        across = places.reshape([-1 if i == axis else 1 for i in range(len(shape))])
        columns[name] = np.broadcast_to(across, shape).reshape(rows)
    for name, value in values.items():
        array = np.asarray(value)
        if array.ndim == 0:
            columns[name] = np.broadcast_to(array, (rows,))
            continue
        flat = array.reshape(rows, *array.shape[len(shape) :])
        for place in np.ndindex(flat.shape[1:]):
            label = "_".join([name, *map(str, place)])
            columns[label] = flat[(slice(None), *place)]
    return columns


def over_time(
    times: Any, values: Mapping[str, Any], shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Columns of records of replications: arrays `(*batch, replications, records)`.

    Args:
        times: of the records, the same in every run of a batch, `(*batch, records)`.
        values: the arrays, by name.
        shape: `(*batch, replications, records)`.
    """
    batch = {f"batch_{i}": None for i in range(len(shape) - 2)}
    last = np.asarray(times).reshape(-1, shape[-1])[0]
    return table({**batch, "replication": None, "time": last}, values, shape)


def plain(value: Any) -> Any:
    """Plain Python data with the same numbers."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, type(RESULTS.running)):
        return result_names(value)
    if isinstance(value, AbstractResult):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    names = getattr(value, "_fields", None)
    if names is not None:  # a named tuple
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    if isinstance(value, eqx.Module):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    array = np.asarray(value)
    if np.iscomplexobj(array):
        return {"real": np.real(array).tolist(), "imag": np.imag(array).tolist()}
    return array.tolist()


def _finite(value: Any) -> Any:
    """The same data with `None` for numbers that are not finite."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
