"""Trees of other packages: OpenSpiel and pygambit."""

import importlib
from collections.abc import Callable
from typing import Any

from gamejax import games
from gamejax.extensive._form import RecallError
from gamejax.extensive._game import SequenceFormGame, compile_tree
from gamejax.extensive._imperfect_recall import ImperfectRecallGame
from gamejax.extensive._rules import Chance, Decide, State, Terminal, chance, decide, terminal
from gamejax.games import Labels


def from_open_spiel(game: Any) -> SequenceFormGame:
    """The tree of an OpenSpiel game.

    Information sets are OpenSpiel's information states; where those forget what a player has been
    told or has done, its own past is added. Where players move at the same time, they move one
    after the other without seeing it. Every state is visited once: the tree must fit into memory.

    Args:
        game: a `pyspiel.Game`, or its name with parameters, such as `"kuhn_poker"` or
            `"goofspiel(num_cards=4,imp_info=True,points_order=descending)"`.

    Raises:
        ImportError: OpenSpiel is not installed.
        TypeError: `game` is something else.
        ValueError: OpenSpiel does not say what its players know, or draws chance by itself.
    """
    pyspiel = _package("pyspiel", "open_spiel")
    if isinstance(game, str):
        game = pyspiel.load_game(game)
    if not isinstance(game, pyspiel.Game):
        raise TypeError(f"game must be a pyspiel.Game or a name, got {type(game).__name__}.")
    kind = game.get_type()
    if kind.dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
        game = pyspiel.convert_to_turn_based(game)
    elif kind.dynamics != pyspiel.GameType.Dynamics.SEQUENTIAL:
        raise ValueError(f"game must be one of single players' moves; {kind.short_name} is not.")
    if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise ValueError(f"{kind.short_name} draws its chance moves without their probabilities.")
    if not game.get_type().provides_information_state_string:
        raise ValueError(f"{kind.short_name} does not say what players know as a string.")
    labels = Labels(kind.long_name, tuple(f"player {i + 1}" for i in range(game.num_players())))
    start = game.new_initial_state()
    try:
        return compile_tree(_rules(remembering=False), (start, ()), labels=labels)
    except RecallError:
        return compile_tree(
            _rules(remembering=True), (start, ((),) * game.num_players()), labels=labels
        )


def from_pygambit(game: Any) -> SequenceFormGame | ImperfectRecallGame:
    """The tree of a `pygambit.Game`, with its names; numbers stay exact until they are floats.

    Args:
        game: a tree of pygambit; for tables see `gamejax.games.from_pygambit`.

    Returns:
        The game; an `ImperfectRecallGame` where a player forgets.

    Raises:
        ImportError: pygambit is not installed.
        TypeError: `game` is something else.
        ValueError: `game` is a table.
    """
    if not isinstance(game, _package("pygambit", "pygambit").Game):
        raise TypeError(f"game must be a pygambit.Game, got {type(game).__name__}.")
    if not game.is_tree:
        raise ValueError("game must be a tree; gamejax.games.from_pygambit takes tables.")
    return games.loads(game.to_efg())  # pyright: ignore[reportReturnType]


def _rules(remembering: bool) -> Callable[[State], Terminal | Chance | Decide]:
    """OpenSpiel's tree; states come with the players' pasts, where they are to be remembered."""

    def rules(state: State) -> Terminal | Chance | Decide:
        now, pasts = state
        if now.is_terminal():
            return terminal(now.returns())
        player = now.current_player()
        if now.is_chance_node():
            outcomes = now.chance_outcomes()
            names = [now.action_to_string(player, a) for a, _ in outcomes]
            return chance([(p, (now.child(a), pasts)) for a, p in outcomes], labels=names)
        told = now.information_state_string(player)
        moves = [(now.action_to_string(player, a), a) for a in now.legal_actions()]
        if not remembering:
            return decide(player, told, [(name, (now.child(a), ())) for name, a in moves])
        known = (told, pasts[player])

        def after(action: int) -> tuple[Any, ...]:
            return *pasts[:player], (*known, action), *pasts[player + 1 :]

        return decide(
            player, known, [(name, (now.child(a), after(a))) for name, a in moves], name=told
        )

    return rules


def _package(name: str, distribution: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"This needs {distribution}, which is not installed: pip install {distribution}."
        ) from error
