"""Tables of features as matrices: yes-no questions, standardized columns, groups."""

import dataclasses
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Encoding = Literal["splits", "dense", "groups"]


@dataclasses.dataclass(frozen=True)
class NumericColumn:
    """A column of numbers: where it is cut, its mean and its spread, whether it holds shares."""

    cuts: NDArray[Any]
    mean: float
    spread: float
    shares: bool

    @classmethod
    def learn(cls, values: NDArray[Any], num_cuts: int) -> "NumericColumn":
        """Cuts at quantiles, or between all values where they are few."""
        known = values[np.isfinite(values)]
        if known.size == 0:
            known = np.zeros(1)
        distinct = np.unique(known)
        if len(distinct) <= num_cuts + 1:
            cuts = (distinct[1:] + distinct[:-1]) / 2
        else:
            cuts = np.unique(np.quantile(known, np.linspace(0, 1, num_cuts + 2)[1:-1]))
        spread = float(known.std())
        shares = bool(known.min() >= 0 and known.max() <= 1)
        return cls(cuts, float(known.mean()), spread if spread > 0 else 1.0, shares)

    def encode(self, values: NDArray[Any], encoding: Encoding) -> NDArray[Any]:
        """Rows of the matrix: one per cut; the standardized column; itself, or one per range."""
        above = values[None, :] > self.cuts[:, None]
        if encoding == "splits":
            return above
        known = np.where(np.isfinite(values), values, self.mean)
        if encoding == "dense":
            return ((known - self.mean) / self.spread)[None]
        if self.shares:
            return np.clip(known, 0, 1)[None]
        return above.sum(0) == np.arange(len(self.cuts) + 1)[:, None]


@dataclasses.dataclass(frozen=True)
class CategoricalColumn:
    """A column of categories, in the order of how frequent each class is among their labels."""

    index: dict[Any, int]
    ranks: NDArray[Any]

    @classmethod
    def learn(cls, values: NDArray[Any], outcome: NDArray[Any]) -> "CategoricalColumn":
        """Categories and their orders; small ones are drawn to the overall mean.

        Of two classes the second gives the order, of more each gives one.
        """
        keys = _keys(values)
        index = {key: number for number, key in enumerate(sorted(set(keys), key=str))}
        codes = np.fromiter(map(index.__getitem__, keys), np.intp, len(keys))
        count = np.bincount(codes, minlength=len(index))
        ranks = []
        for own in outcome.T[1:] if outcome.shape[1] == 2 else outcome.T:
            total = np.bincount(codes, weights=own, minlength=len(index))
            mean = (total + 10 * own.mean()) / (count + 10)
            ranks.append(np.argsort(np.argsort(mean, kind="stable")))
        return cls(index, np.array(ranks))

    @property
    def categories(self) -> list[Any]:
        """The categories, in the order of their names."""
        return list(self.index)

    def encode(self, values: NDArray[Any], encoding: Encoding) -> NDArray[Any]:
        """Rows of the matrix: "ranked above r" for every r, or one per category.

        Categories never seen rank lowest and belong to no group.
        """
        keys = _keys(values)
        codes = np.fromiter((self.index.get(key, -1) for key in keys), np.intp, len(keys))
        if encoding == "splits":
            ranks = np.where(codes < 0, -1, self.ranks[:, codes]).astype(np.int32)
            above = ranks[:, None, :] > np.arange(len(self.index) - 1, dtype=np.int32)[:, None]
            return above.reshape(-1, len(codes))
        return codes[None, :] == np.arange(len(self.index))[:, None]


def _room(count: int) -> int:
    """More than `count` by an eighth at most: tables with about as many cuts share a program."""
    unit = max(1, 2 ** (count.bit_length() - 4))
    return (count // unit + 1) * unit


def _keys(values: NDArray[Any]) -> list[Any]:
    """The categories of all points; what is missing is one of its own."""
    missing = np.asarray(values != values, bool)
    if missing.any():
        values = values.astype(object)
        values[missing] = None
    return values.tolist()


Table = list[tuple[str, NDArray[Any]]]
"""Names and values of columns."""


@dataclasses.dataclass(frozen=True)
class Encoder:
    """How a table becomes the matrix that an auditor reads; learned from the training table."""

    columns: tuple[NumericColumn | CategoricalColumn, ...]
    encoding: Encoding

    @classmethod
    def learn(
        cls, table: Table, outcome: NDArray[Any], encoding: Encoding, num_cuts: int = 31
    ) -> "Encoder":
        """From the training table; `outcome`, the labels' indicators, orders categories.

        As groups, numbers beyond [0, 1] are cut into five ranges.
        """
        num_cuts = 4 if encoding == "groups" else num_cuts
        columns = tuple(
            NumericColumn.learn(values.astype(float), num_cuts)
            if is_numeric(values)
            else CategoricalColumn.learn(values, outcome)
            for _, values in table
        )
        return cls(columns, encoding)

    def __call__(self, table: Table, dtype: Any) -> NDArray[Any]:
        """The matrix: `(questions, points)` of booleans for splits, else `(points, columns)`.

        The last questions, at least one, are those to which nobody says yes.
        """
        if len(table) != len(self.columns):
            raise ValueError(
                f"X and groups must have the {len(self.columns)} columns of the fit together, got "
                f"{len(table)}."
            )
        rows = [
            column.encode(
                values if isinstance(column, CategoricalColumn) else values.astype(float),
                self.encoding,
            )
            for column, (_, values) in zip(self.columns, table, strict=True)
        ]
        if self.encoding != "splits":
            return np.ascontiguousarray(np.concatenate(rows).astype(dtype).T)
        count = sum(len(row) for row in rows)
        rows.append(np.zeros((_room(count) - count, len(table[0][1])), bool))
        return np.concatenate(rows)


def group_matrix(table: Any, *, like: Any = None) -> NDArray[Any]:
    """Groups as a matrix `(points, groups)`, from columns of categories or numbers.

    Every category has a column, in the order of their names. Numbers in [0, 1] are shares as they
    are, others are cut into five ranges of as many points each.

    Args:
        table: an array or a data frame.
        like: the table whose categories and ranges are meant; default `table`.
    """
    known = columns_of(table if like is None else like, "groups")
    encoder = Encoder.learn(known, np.zeros((len(known[0][1]), 2)), "groups")
    return encoder(columns_of(table, "groups"), "float64")


def columns_of(table: Any, argument: str) -> Table:
    """Names and values of the columns of a data frame or an array."""
    if hasattr(table, "columns") and hasattr(table, "iloc"):
        return [(str(name), table[name].to_numpy()) for name in table.columns]
    array = np.asarray(table)
    if array.ndim != 2 or array.shape[1] < 1:
        raise ValueError(f"{argument} must be a table with columns, got shape {array.shape}.")
    return [(str(i), array[:, i]) for i in range(array.shape[1])]


def is_numeric(values: NDArray[Any]) -> bool:
    """Whether a column holds numbers (an object column may)."""
    if values.dtype == object:
        return all(isinstance(v, int | float | np.number) for v in values[:1000].tolist())
    return np.issubdtype(values.dtype, np.number) or values.dtype == bool
