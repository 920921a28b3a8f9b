"""Names for the shapes that pass between the layers."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from jaxtyping import Array, ArrayLike, Float, PyTree

from gamejax._joint import Joint

Numbers: TypeAlias = ArrayLike | Sequence[Any]
"""What becomes an array: an array, a number, or nested sequences of numbers."""

Scalar: TypeAlias = Float[Array, ""]
"""A single floating-point number."""

Strategy: TypeAlias = PyTree[Float[Array, "..."]]
"""A point of a strategy set: an array `(*blocks, actions)`, or a tree of such for product sets."""

Utility: TypeAlias = PyTree[Float[Array, "..."]]
"""The gradient of a player's expected payoff in its own strategy; structured like `Strategy`."""

Profile: TypeAlias = tuple[Strategy, ...] | Joint
"""One strategy per player, or a `Joint` distribution over action profiles."""

State: TypeAlias = Any
"""What a game, a feedback, a learner or a solver carries between steps: a tree of arrays."""
