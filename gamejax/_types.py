"""Names for the shapes that pass between the layers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from jaxtyping import Array, ArrayLike, Float

from gamejax._joint import Joint

if TYPE_CHECKING:
    from typing_extensions import TypeAliasType

    # What jaxtyping's name is to type checkers is unknown, and so would be all that mentions it.
    _Leaf = TypeVar("_Leaf")
    PyTree = TypeAliasType("PyTree", Any, type_params=(_Leaf,))
else:
    from jaxtyping import PyTree as PyTree

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
