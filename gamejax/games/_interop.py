"""Games of other packages: pygambit, nashpy and OpenSpiel."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from gamejax.games._base import AbstractGame, Labels
from gamejax.games._matrix import MatrixGame
from gamejax.games._normal_form import NormalFormGame


def from_pygambit(game: Any) -> AbstractGame:
    """The strategic form of a `pygambit.Game`, with its title and names.

    Two players whose payoffs add up to zero make a `MatrixGame`, all others a `NormalFormGame`.
    A game tree becomes the game of its reduced strategies (`gamejax.extensive.from_pygambit` keeps
    the tree). Fractions become floats.

    Args:
        game: a `pygambit.Game`, of tables or of a tree.

    Raises:
        TypeError: `game` is something else.
    """
    _check_kind(game, "pygambit", "Game")
    labels = Labels(
        game.title,
        tuple(player.label for player in game.players),
        tuple(tuple(own.label for own in player.strategies) for player in game.players),
    )
    return _game([np.asarray(table, float) for table in game.to_arrays(dtype=float)], labels)


def from_nashpy(game: Any) -> AbstractGame:
    """The game of a `nashpy.Game`: a `MatrixGame` if it is zero-sum, else a `NormalFormGame`.

    Args:
        game: a `nashpy.Game`.

    Raises:
        TypeError: `game` is something else.
    """
    _check_kind(game, "nashpy", "Game")
    return _game([np.asarray(table, float) for table in game.payoff_matrices], None)


def from_open_spiel(game: Any) -> AbstractGame:
    """The game of an OpenSpiel game in which all players move once, at the same time.

    Two players whose payoffs add up to zero make a `MatrixGame`, all others a `NormalFormGame`.

    Args:
        game: a `pyspiel.Game` such as `pyspiel.load_matrix_game("matrix_rps")`, or any other
            one-shot game, such as `pyspiel.load_game("blotto")`.

    Raises:
        TypeError: `game` is something else.
        ValueError: its players move more than once, or one after the other.
    """
    _check_kind(game, "pyspiel", "Game")
    pyspiel: Any = importlib.import_module("pyspiel")
    kind = game.get_type()
    one_shot = kind.information == pyspiel.GameType.Information.ONE_SHOT
    if not one_shot or kind.dynamics != pyspiel.GameType.Dynamics.SIMULTANEOUS:
        raise ValueError(
            f"game must be one in which all players move once, at the same time; "
            f"{kind.short_name} is a tree: use gamejax.extensive.from_open_spiel."
        )
    if not isinstance(game, pyspiel.MatrixGame | pyspiel.TensorGame):
        game = pyspiel.extensive_to_tensor_game(game)
    if isinstance(game, pyspiel.MatrixGame):
        tables = [game.row_utilities(), game.col_utilities()]
        shape = np.shape(tables[0])
        naming = (game.row_action_name, game.col_action_name)
        actions = [[name(a) for a in range(n)] for name, n in zip(naming, shape, strict=True)]
    else:
        players, shape = range(game.num_players()), tuple(game.shape())
        tables = [np.reshape(game.player_utilities(i), shape) for i in players]
        actions = [[game.action_name(i, a) for a in range(shape[i])] for i in players]
    labels = Labels(kind.long_name, (), tuple(tuple(own) for own in actions))
    return _game([np.asarray(table, float) for table in tables], labels)


def _game(tables: Sequence[np.ndarray], labels: Labels | None) -> AbstractGame:
    """A zero-sum game as one matrix, others as all tables."""
    if len(tables) == 2 and not np.any(tables[0] + tables[1]):
        return MatrixGame(tables[0], labels=labels)
    return NormalFormGame(np.stack(tables), labels=labels)


def _check_kind(game: Any, package: str, name: str) -> None:
    """Refuse what is no instance of a class of this name in this package, without importing it."""
    bases = ((base.__module__.split(".")[0], base.__name__) for base in type(game).__mro__)
    if (package, name) not in bases:
        raise TypeError(f"game must be a {package}.{name}, got {type(game).__name__}.")
