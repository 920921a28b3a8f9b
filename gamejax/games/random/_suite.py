"""Named instances of random games, the same everywhere."""

import functools
import re
from collections.abc import Callable
from typing import Any

import jax

from gamejax.games._base import AbstractGame
from gamejax.games.random._registry import FAMILIES

_NAME = re.compile(
    r"(?P<family>[a-z_]+)(\((?P<parameter>[^()]+)\))?-(?P<sizes>\d+(x\d+)*)-(?P<seed>\d+)"
)

_SUITE = (
    *(f"zero_sum-{n}x{n}-{seed}" for n in (2, 4, 8, 16, 32, 64, 128) for seed in range(3)),
    *(f"zero_sum-{rows}x{columns}-0" for rows, columns in ((8, 64), (64, 8), (3, 200))),
    *(f"general_sum-{n}x{n}-{seed}" for n in (2, 4, 8, 16, 32) for seed in range(3)),
    *(f"general_sum-{shape}-0" for shape in ("3x3x3", "5x4x3", "4x4x4x4", "2x2x2x2x2x2")),
    *(f"covariant({rho})-{n}x{n}-0" for rho in ("-0.9", "-0.5", "0.0", "0.5") for n in (4, 16)),
    *(f"covariant({rho})-4x4x4-0" for rho in ("-0.5", "0.5")),
    *(
        f"{family}-{shape}-0"
        for family in (
            "common_interest",
            "coordination",
            "anti_coordination",
            "potential",
            "dominance_solvable",
        )
        for shape in ("4x4", "16x16", "4x4x4")
    ),
    *(f"{family}-{n}-0" for family in ("skew_symmetric", "cyclic") for n in (3, 9, 33)),
    *(f"low_rank({rank})-32x32-0" for rank in (1, 2, 4)),
    *(f"sparse({density})-32x32-0" for density in (0.05, 0.2)),
    *(f"symmetric-{sizes}-0" for sizes in ("3x3", "5x3", "10x2", "20x4")),
    *(f"polymatrix-{sizes}-0" for sizes in ("3x3", "8x4")),
    "polymatrix(0.2)-32x3-0",
    *(f"zero_sum_polymatrix-{sizes}-0" for sizes in ("3x3", "8x4")),
    *(f"congestion-{sizes}-0" for sizes in ("3x3x4", "8x4x6", "20x5x10")),
    *(f"{family}-10-0" for family in ("grab_the_dollar", "location", "war_of_attrition")),
    *(f"majority_voting-{sizes}-0" for sizes in ("3x3", "5x3")),
)


def instance(name: str, dtype: Any = float) -> AbstractGame:
    """The random game of this name: family, sizes and seed, as in `zero_sum-16x16-7`.

    Sizes are the numbers of actions of each player (`general_sum-5x4x3-0`) or, for families that
    take them one by one, their arguments in order (`congestion-8x4x6-0`: players, actions,
    resources). A family's further parameter stands in parentheses: `covariant(-0.5)-4x4-0`. The
    key is that of the default generator with the seed; payoffs of another dtype are another draw.

    Raises:
        ValueError: the name does not have this form, or there is no such family.
    """
    match = _NAME.fullmatch(name)
    if match is None or match["family"] not in FAMILIES:
        raise ValueError(
            "name must be a family, sizes and a seed like 'zero_sum-16x16-7', the family one of "
            f"{', '.join(sorted(FAMILIES))}; got {name!r}."
        )
    build, sizes = FAMILIES[match["family"]]
    counts = tuple(int(n) for n in match["sizes"].split("x"))
    arguments: list[Any] = [counts] if sizes == "shape" else list(counts)
    if match["parameter"] is not None:
        text = match["parameter"]
        arguments.append(int(text) if text.isdigit() else float(text))
    key = jax.random.key(int(match["seed"]), impl="threefry2x32")
    try:
        return build(key, *arguments, dtype=dtype)
    except TypeError as error:
        raise ValueError(f"name {name!r} does not fit its family: {error}") from None


def suite(dtype: Any = float) -> dict[str, Callable[[], AbstractGame]]:
    """The named instances for tests and benchmarks: functions that build them, by name."""
    return {name: functools.partial(instance, name, dtype) for name in _SUITE}
