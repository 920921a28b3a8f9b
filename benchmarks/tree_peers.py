"""Trees for everyone: the games, the certificate in NumPy, and the packages that play them."""

import contextlib
import functools
import importlib
import io
import urllib.parse
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contest import Rival, missing, version
from gamejax import extensive
from gamejax.extensive import SequenceFormGame, library

SPIEL = {
    "Kuhn": "kuhn_poker",
    "Leduc": "leduc_poker",
    "Goofspiel 4": (
        "turn_based_simultaneous_game(game=goofspiel(num_cards=4,points_order=descending,"
        "imp_info=True,returns_type=win_loss))"
    ),
    "Liar's dice": "liars_dice",
}
"""What OpenSpiel calls them."""
Behaviors = tuple[np.ndarray, ...]
"""Of each player, the probabilities of actions at its information sets, in the history's order."""


@functools.cache
def tree(name: str) -> SequenceFormGame:
    """The game as OpenSpiel has it, so that all play the same tree; else the library's."""
    if missing(["pyspiel"]) is None:
        return extensive.from_open_spiel(SPIEL[name])
    ours: dict[str, Callable[[], SequenceFormGame]] = {
        "Kuhn": library.kuhn,
        "Leduc": library.leduc,
        "Goofspiel 4": lambda: library.goofspiel(4, bids_seen=False),
        "Liar's dice": library.liars_dice,
    }
    return ours[name]()


def in_history(game: SequenceFormGame, profile: Any) -> Behaviors:
    """Realization plans of gamejax as behaviors."""
    found = []
    for own, order, x in zip(game.strategy_sets, game.form.order, profile, strict=True):
        behaviors = np.asarray(own.behaviors(x), np.float64)
        found.append(np.empty_like(behaviors))
        found[-1][order] = behaviors
    return tuple(found)


class Certificate:
    """Exploitability in float64 NumPy, level by level over the tree of histories.

    Args:
        game: for two players, payoffs that sum to a constant; at any information set of a player
            the same number of moves have been made.
    """

    def __init__(self, game: SequenceFormGame):
        history = game.form.history
        self.parent, self.branch = history.parent, history.branch
        self.player, self.information = history.player, history.information
        self.nature = history.probability.astype(np.float64)
        self.payoffs = np.asarray(game.payoffs, np.float64)
        depth = np.zeros(len(self.parent), np.int64)
        for node in range(1, len(depth)):
            depth[node] = depth[self.parent[node]] + 1
        self.levels = [np.flatnonzero(depth == d) for d in range(depth.max() + 1)]

    def __call__(self, behaviors: Behaviors) -> np.ndarray:
        """Half the sum of what the players can get against `behaviors`, less the payoffs' sum."""
        best = sum(self._best(i, behaviors) for i in range(2))
        return np.array([(best - self.payoffs[:, 0].sum()) / 2])

    def _best(self, player: int, behaviors: Behaviors) -> float:
        reach = np.ones(len(self.parent))
        for nodes in self.levels[1:]:
            before, odds = self.parent[nodes], self.nature[nodes].copy()
            for i, own in enumerate(behaviors):
                chosen = self.player[before] == i
                sets, action = self.information[before[chosen]], self.branch[nodes[chosen]]
                odds[chosen] = 1.0 if i == player else own[sets, action]
            reach[nodes] = reach[before] * odds
        value = np.zeros(len(self.parent))
        leaves = self.player == -2
        value[leaves] = reach[leaves] * self.payoffs[player, self.information[leaves]]
        below = np.zeros_like(behaviors[player])
        for nodes in self.levels[:0:-1]:
            before = self.parent[nodes]
            mine = self.player[before] == player
            sets, action = self.information[before[mine]], self.branch[nodes[mine]]
            np.add.at(below, (sets, action), value[nodes[mine]])
            exists = np.zeros(below.shape, bool)
            exists[sets, action] = True
            best = np.where(exists, below, -np.inf).argmax(1)
            counts = ~mine
            counts[mine] = action == best[sets]
            np.add.at(value, before[counts], value[nodes[counts]])
        return float(value[0])


def open_spiel(name: str, how: str, iterations: int, ours: SequenceFormGame) -> Rival:
    """CFR+ of OpenSpiel: its C++, its Python or its JAX version; timed once."""
    label = f"OpenSpiel {how} CFR+"
    if (note := missing(["pyspiel", *(["optax"] if how == "JAX" else [])])) is not None:
        return Rival(label, note=note)
    pyspiel: Any = importlib.import_module("pyspiel")
    game = pyspiel.load_game(SPIEL[name])
    if how == "C++":
        solver = pyspiel.CFRPlusSolver(game)
    elif how == "Python":
        solver = importlib.import_module("open_spiel.python.algorithms.cfr").CFRPlusSolver(game)
    else:
        solver = importlib.import_module("open_spiel.python.jax.cfr.jax_cfr").JaxCFR(game)

    def call() -> Any:
        for _ in range(iterations):
            solver.evaluate_and_update_policy()
        return solver

    return Rival(
        label,
        call,
        iterations,
        lambda solver: _of_policy(ours, solver.average_policy(), how),
        dtype="float32" if how == "JAX" else "float64",
        version=version("open_spiel"),
        warm_up=solver.evaluate_and_update_policy if how == "JAX" else lambda: None,
    )


def _state(key: Any) -> str:
    """OpenSpiel's information state; with the own past, where that is not in it, it is a pair."""
    return key if isinstance(key, str) else key[0]


def _of_policy(ours: SequenceFormGame, policy: Any, how: str) -> Any:
    """An OpenSpiel policy, information state by information state."""
    found = []
    for sets, own_tree in zip(ours.form.history.information_sets, ours.form.trees, strict=True):
        behaviors = np.zeros((len(sets), own_tree.width))
        for row, own in zip(behaviors, sets, strict=True):
            if how == "C++":
                odds = [p for _, p in sorted(policy.get_state_policy(_state(own.key)))]
            else:
                legal = policy.legal_actions_mask[policy.state_lookup[_state(own.key)]]
                odds = np.asarray(policy.policy_for_key(_state(own.key)))[np.asarray(legal) > 0]
            row[: len(odds)] = odds
        found.append(behaviors)
    return tuple(found)


def lite_efg(name: str, iterations: int, ours: SequenceFormGame) -> Rival:
    """CFR+ of LiteEFG, averages included; timed once."""
    label = "LiteEFG CFR+"
    if (note := missing(["pyspiel", "LiteEFG"])) is not None:
        return Rival(label, note=note)
    package: Any = importlib.import_module("LiteEFG")
    pyspiel: Any = importlib.import_module("pyspiel")
    with contextlib.redirect_stdout(io.StringIO()):
        environment = package.OpenSpielEnv(
            pyspiel.load_game(SPIEL[name]), traverse_type="Enumerate", regenerate=True
        )
        graph = importlib.import_module("LiteEFG.baselines.CFRplus").graph()
    environment.set_graph(graph)

    def call() -> Any:
        for _ in range(iterations):
            graph.update_graph(environment)
            environment.update_strategy(graph.current_strategy())
        return environment

    def answer(environment: Any) -> Any:
        found = []
        for i, sets in enumerate(ours.form.history.information_sets):
            # Names are a number and the information state, quoted as in addresses of the web.
            listed = package.Environment.get_strategy(
                environment, i + 1, graph.current_strategy(), "linear-avg-iterate"
            )
            odds = {urllib.parse.unquote(key.split("__", 1)[1]): own for key, own in listed}
            behaviors = np.zeros((len(sets), ours.form.trees[i].width))
            for row, own in zip(behaviors, sets, strict=True):
                row[: len(own.actions)] = odds[_state(own.key)]
            found.append(behaviors)
        return tuple(found)

    return Rival(label, call, iterations, answer, version=version("liteefg"), warm_up=lambda: None)
