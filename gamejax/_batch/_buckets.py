"""Lists of games as a few stacks: games of one kind and similar size are padded to one shape."""

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from gamejax._batch._layout import Layout
from gamejax._batch._sizes import SMALLEST_BUFFER
from gamejax._checks import without_labels
from gamejax._joint import Joint
from gamejax._types import Profile
from gamejax.games import AbstractGame, MatrixGame, NormalFormGame, pad_games
from gamejax.sets import CappedSimplex, Simplex

Shape = tuple[int, ...]

COMPILE_CELLS = 1_000_000
"""Another program costs about as much time as padding by so many payoffs does, on a CPU."""
_MANY_SHAPES = 32


class Bucket(NamedTuple):
    """Games that share a compiled program.

    Attributes:
        games: the stacked games.
        order: where each stands in the caller's order.
    """

    games: AbstractGame
    order: np.ndarray

    @property
    def example(self) -> AbstractGame:
        """The first of them."""
        return jax.tree.map(lambda x: x[0], self.games)


def make_buckets(games: Sequence[AbstractGame]) -> list[Bucket]:
    """Stack a list of games of any kinds and sizes, in as few stacks as pay."""
    bare = [without_labels(game)[0] for game in games]
    kinds: dict[Any, dict[Any, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, game in enumerate(bare):
        shape = table_shape(game)
        kinds[_kind(game, shape)][shape].append(i)
    buckets = []
    for classes in kinds.values():
        targets = merge_shapes({shape: len(i) for shape, i in classes.items() if shape})
        stacks = defaultdict(list)
        for shape, members in classes.items():
            stacks[targets.get(shape)] += members
        for target, members in stacks.items():
            index = np.array(sorted(members))
            buckets.append(Bucket(_stack([bare[i] for i in index], target), index))
    return buckets


def merge_shapes(counts: dict[Shape, int]) -> dict[Shape, Shape]:
    """To which shape games of each shape are padded.

    Starting from one stack per shape (per power of two where shapes are very many), the two whose
    union costs least are merged for as long as that is cheaper than another program. The cost of a
    stack is its payoffs, those of copies in its buffer included, and a constant for the program.

    Args:
        counts: how many games there are of each shape.
    """
    similar = defaultdict(list)
    for shape in sorted(counts):
        few = len(counts) <= _MANY_SHAPES
        similar[shape if few else tuple((n - 1).bit_length() for n in shape)].append(shape)
    stacks = {_union(*members): members for members in similar.values()}

    def cost(target: Shape, members: list[Shape]) -> int:
        number = max(SMALLEST_BUFFER, sum(counts[shape] for shape in members))
        return number * math.prod(target) + COMPILE_CELLS

    def change(a: Shape, b: Shape) -> int:
        merged = cost(_union(a, b), stacks[a] + stacks[b])
        return merged - cost(a, stacks[a]) - cost(b, stacks[b])

    while len(stacks) > 1:
        best, a, b = min((change(a, b), a, b) for a, b in itertools.combinations(stacks, 2))
        if best >= 0:
            break
        members = stacks.pop(a) + stacks.pop(b)
        stacks[_union(a, b)] = stacks.get(_union(a, b), []) + members
    return {shape: target for target, members in stacks.items() for shape in members}


def table_shape(game: AbstractGame) -> Shape | None:
    """The numbers of actions of a game that padding can enlarge; `None` for other kinds."""
    if type(game) not in (MatrixGame, NormalFormGame):
        return None
    sets = game.strategy_sets
    if not all(type(s) in (Simplex, CappedSimplex) and len(s.shape) == 1 for s in sets):
        return None
    return tuple(s.shape[0] for s in sets)


def cut(profile: Profile, shape: Shape) -> Profile:
    """The profile without the actions that padding added; `shape` counts those that exist."""
    if isinstance(profile, Joint):
        return Joint(profile.probabilities[tuple(slice(n) for n in shape)])
    return tuple(
        x[:n] if isinstance(x, Array | np.ndarray) else x
        for x, n in zip(profile, shape, strict=True)
    )


def stack_profiles(profiles: Sequence[Any], example: AbstractGame) -> Any:
    """Profiles as arrays that fit the stacked games, 0 for the actions that padding added."""
    like = tuple(jax.eval_shape(lambda s=s: s.center(example.dtype)) for s in example.strategy_sets)
    return jax.tree.map(
        lambda target, *xs: _padded(xs, target.shape, target.dtype), like, *map(tuple, profiles)
    )


def _kind(game: AbstractGame, shape: Shape | None) -> Any:
    """Games of one kind can share a stack."""
    if shape is not None:
        sets: Any = game.strategy_sets
        return type(game), str(game.dtype), tuple((type(s), s.mask is None) for s in sets)
    leaves, structure = jax.tree.flatten(game)
    return structure, tuple((np.shape(x), str(getattr(x, "dtype", type(x)))) for x in leaves)


def _stack(games: list[Any], target: Shape | None) -> AbstractGame:
    dtype = games[0].dtype
    if target is None or all(table_shape(game) == target for game in games):
        layout = Layout.of(games[0])
        columns = zip(*jax.device_get([layout.pack(game) for game in games]), strict=True)
        return layout.unpack([np.stack([_leaf(x, dtype) for x in column]) for column in columns])
    # What pad_games does, but for all games at once and on the host.
    unstacked = jax.device_get(games)
    lead = () if isinstance(games[0], MatrixGame) else (len(target),)
    payoffs = _padded([_tables(g) for g in unstacked], (*lead, *target), dtype)
    template: Any = pad_games([games[0]], target)
    sets = []
    for player, own in enumerate(template.strategy_sets):
        members = [g.strategy_sets[player] for g in unstacked]
        masks = [np.ones(s.shape, bool) if s.mask is None else s.mask for s in members]
        own = eqx.tree_at(lambda s: s.mask, own, _padded(masks, own.shape, bool))
        if isinstance(own, CappedSimplex):
            caps = np.array([np.asarray(s.cap, dtype) for s in members])
            own = eqx.tree_at(lambda s: s.cap, own, caps)
        sets.append(own)
    return eqx.tree_at(lambda g: (_tables(g), g.strategy_sets), template, (payoffs, tuple(sets)))


def _tables(game: Any) -> Any:
    return game.payoff if isinstance(game, MatrixGame) else game.payoffs


def _leaf(leaf: Any, dtype: Any) -> np.ndarray:
    """A leaf as an array; Python's floating-point numbers follow the game."""
    return np.asarray(leaf, dtype if isinstance(leaf, float) else None)


def _padded(arrays: Sequence[Any], shape: Shape, dtype: Any) -> np.ndarray:
    out = np.zeros((len(arrays), *shape), dtype)
    for own, array in zip(out, arrays, strict=True):
        own[tuple(slice(n) for n in np.shape(array))] = array
    return out


def _union(*shapes: Shape) -> Shape:
    return tuple(map(max, zip(*shapes, strict=True)))
