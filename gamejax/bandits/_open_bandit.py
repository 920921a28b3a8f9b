"""Reading the Open Bandit logs: impressions of fashion items, with propensities."""

import csv
import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gamejax.bandits._log import BanditLog

NEEDED = ("item_id", "position", "click", "propensity_score")


class OpenBandit(NamedTuple):
    """One file of the Open Bandit Dataset.

    Attributes:
        log: actions are item numbers, rewards clicks, positions from 0; contexts hold 0/1
            indicators of the user's categories, then the user's affinities to the items.
        num_actions: the number of items.
        num_positions: the number of places in which an item is shown.
        features: a name for each column of the contexts, such as `"user_feature_0=cef3390e"`.
        timestamps: when each impression was shown, as the file has it.
    """

    log: BanditLog
    num_actions: int
    num_positions: int
    features: tuple[str, ...]
    timestamps: tuple[str, ...]


def load_open_bandit(path: str | os.PathLike[str], *, like: OpenBandit | None = None) -> OpenBandit:
    """Read a log of the Open Bandit Dataset: a `.csv` or `.csv.gz` file, one impression per row.

    The columns `item_id` (from 0), `position` (from 1), `click` (0 or 1) and `propensity_score`
    are needed; `user_feature_*`, `user_item_affinity_*` (or `user-item_affinity_*`) and `timestamp`
    are used where they are. Propensities are of the item at its position, so a target policy gives
    each round the probabilities of the items at that round's position.

    Args:
        path: the file.
        like: another file of the same campaign, read before: its context columns are used, and
            categories that it does not have are left at 0.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing or an entry is unusable; the message names them.

    References:
        saito2021.
    """
    header, rows = _read(Path(path))
    where = {name.replace("user-item", "user_item"): i for i, name in enumerate(header)}
    missing = [name for name in NEEDED if name not in where]
    if missing:
        raise ValueError(
            f"{path} lacks the columns {', '.join(missing)}; an Open Bandit log has "
            f"{', '.join(NEEDED)}."
        )
    if not rows:
        raise ValueError(f"{path} has a header but no rows.")
    short = next((i for i, row in enumerate(rows) if len(row) != len(header)), None)
    if short is not None:
        raise ValueError(
            f"{path}, row {short + 1}: {len(rows[short])} entries, the header has {len(header)}."
        )
    columns = list(zip(*rows, strict=True))

    def numbers(name: str, low: float, high: float, *, whole: bool = False) -> np.ndarray:
        wanted = f"{'an integer' if whole else 'a number'} from {low:g} to {high:g}"
        values = [_number(text) for text in columns[where[name]]]
        for i, value in enumerate(values):
            if not low <= value <= high or (whole and value != int(value)):
                raise ValueError(
                    f"{path}, row {i + 1}: {name} must be {wanted}, "
                    f"got {columns[where[name]][i]!r}."
                )
        return np.asarray(values, np.int32 if whole else np.float64)

    largest = float(np.iinfo(np.int32).max)
    actions = numbers("item_id", 0, largest, whole=True)
    positions = numbers("position", 1, largest, whole=True) - 1
    affinities = sorted(
        (name for name in where if name.startswith("user_item_affinity_")),
        key=lambda name: int(name.rsplit("_", 1)[1]),
    )
    categories = sorted(name for name in where if name.startswith("user_feature_"))
    known = like.features if like else _features(categories, affinities, where, columns)
    contexts = [
        _indicator(feature, where, columns)
        if "=" in feature
        else numbers(feature, -largest, largest)
        for feature in known
        if "=" in feature or feature in where
    ]
    if len(contexts) != len(known):
        raise ValueError(f"{path} lacks context columns of like: {set(known) - set(where)}.")
    log = BanditLog(
        actions,
        numbers("click", 0, 1, whole=True),
        numbers("propensity_score", 1e-30, 1),
        np.stack(contexts, axis=1) if contexts else None,
        positions,
    )
    num_actions = max(int(actions.max()) + 1, len(affinities))
    if like is not None:
        num_actions = max(num_actions, like.num_actions)
    times = columns[where["timestamp"]] if "timestamp" in where else ()
    return OpenBandit(log, num_actions, int(positions.max()) + 1, tuple(known), tuple(times))


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    if not path.is_file():
        raise FileNotFoundError(
            f"no file {path}; the Open Bandit Dataset is at https://research.zozo.com/data.html"
        )
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        return next(lines, []), list(lines)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _features(
    categories: Sequence[str],
    affinities: Sequence[str],
    where: dict[str, int],
    columns: Sequence[Sequence[str]],
) -> tuple[str, ...]:
    """A name per context column: each category of each user feature, then the affinities."""
    names = [
        f"{name}={value}" for name in categories for value in sorted(set(columns[where[name]]))
    ]
    return (*names, *affinities)


def _indicator(feature: str, where: dict[str, int], columns: Sequence[Sequence[str]]) -> np.ndarray:
    name, value = feature.split("=", 1)
    if name not in where:
        return np.zeros(len(columns[0]))
    return np.asarray([text == value for text in columns[where[name]]], np.float64)
