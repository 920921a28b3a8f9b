"""Games in files: reading and writing Gambit's text formats."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from gamejax.games._base import AbstractGame, Labels
from gamejax.games._gambit_parts import default_names, fill_names
from gamejax.games._gambit_tokens import GameFileError, Tokens
from gamejax.games._matrix import MatrixGame
from gamejax.games._nfg import format_nfg, parse_nfg
from gamejax.games._normal_form import NormalFormGame
from gamejax.games._transform import to_normal_form
from gamejax.sets import Simplex

if TYPE_CHECKING:
    from gamejax.extensive import ImperfectRecallGame, SequenceFormGame

_OTHER_FORMATS = {
    "#AGG": "an action-graph game (.agg)",
    "#BAGG": "a Bayesian action-graph game (.bagg)",
}


def load(
    path: str | os.PathLike[str],
) -> "NormalFormGame | SequenceFormGame | ImperfectRecallGame":
    """The game in a Gambit file: `.nfg`, a strategic form, or `.efg`, a tree.

    What the file holds decides, not its name. Payoffs have JAX's default float type; integers,
    decimals and fractions are read, of a tree exactly until the end. Names are kept in `labels`, of
    a tree's information sets, actions and moves of nature in its history; comments, names of
    outcomes and labels of single nodes are not.

    Of `.nfg` both forms are read (a list of payoffs, or outcomes and their numbers), with any
    number of players, names or mere counts of strategies. A tree is a
    `gamejax.extensive.SequenceFormGame`, or an `ImperfectRecallGame` where a player forgets, which
    can be evaluated but not solved. Payoffs at inner nodes are added to those that follow. An
    information set's `key` is its number in the file. Leaves that pay nobody are left out of the
    kernels; where they are to be paid later, take
    `gamejax.extensive.from_history(game.form.history, keep_zeros=True)`.

    Args:
        path: the file, text in UTF-8.

    Raises:
        FileNotFoundError: there is no such file.
        GameFileError: the file is malformed or in another format.

    References:
        mckelvey2014.
    """
    data, source = Path(path).read_bytes(), os.fspath(path)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        raise GameFileError(
            f"{source}:{line}: expected text in UTF-8, found the byte 0x{data[error.start]:02x}"
        ) from None
    return loads(text, source=source)


def loads(
    text: str, *, source: str = "<text>"
) -> "NormalFormGame | SequenceFormGame | ImperfectRecallGame":
    """The game in a text in Gambit's `.nfg` or `.efg` format; see `load`.

    Args:
        text: what the file holds.
        source: what error messages call it.

    Raises:
        TypeError: `text` is no string.
        GameFileError: the text is malformed or in another format.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}; load reads a file.")
    tokens = Tokens(text, source)
    first = tokens.peek()
    dtype = jnp.result_type(float)
    kind = first.text if first.kind == "word" else ""
    if kind == "EFG":
        from gamejax.extensive._efg import parse_efg  # it imports this package

        return parse_efg(tokens, dtype)
    if kind != "NFG":
        other = _OTHER_FORMATS.get(kind)
        found = first if other is None else f"{other}, which is not read yet"
        raise tokens.error("'NFG' (a strategic game) or 'EFG' (a tree)", found)
    payoffs, labels = parse_nfg(tokens, dtype)
    return NormalFormGame(jnp.asarray(payoffs), labels=labels)


def save(game: AbstractGame, path: str | os.PathLike[str]) -> None:
    """Write a game to a Gambit file; `load` gives back the same payoffs, bit for bit.

    Trees are written as `.efg`, all else as `.nfg`. In a tree's file the probabilities of each
    chance node sum to 1 exactly: fractions come back as they were, floats to rounding. A tree's
    negative zeros lose their sign.

    Args:
        game: a tree, or any finite game on whole simplices; structured games are written out as
            tensors.
        path: the file, replaced in one move if it is there.

    Raises:
        TypeError: `game` is no game.
        ValueError: it is a batch, its strategies are restricted, its labels do not fit, a payoff
            is not finite, its tensor does not fit into memory, its chances belong to no tree, or
            the file's name has the other format's suffix.
    """
    text, path = dumps(game), Path(path)
    wanted = ".efg" if text.startswith("EFG") else ".nfg"
    if path.suffix in {".efg", ".nfg"} - {wanted}:
        raise ValueError(f"path must end in {wanted}, which this game is written as, got {path}.")
    write_whole(path, text)


def write_whole(path: Path, text: str) -> None:
    """Write beside the target, then move into place: nobody ever sees half a file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def dumps(game: AbstractGame) -> str:
    """The text that `save` writes."""
    from gamejax.extensive import ImperfectRecallGame, SequenceFormGame  # it imports this package

    if isinstance(game, SequenceFormGame | ImperfectRecallGame):
        from gamejax.extensive._efg_write import format_efg

        return format_efg(game)
    payoffs = _payoff_tensor(game)
    return format_nfg(payoffs, _complete_labels(game.labels or Labels(), payoffs.shape[1:]))


def _payoff_tensor(game: AbstractGame) -> np.ndarray:
    if not isinstance(game, AbstractGame):
        raise TypeError(f"game must be a gamejax game, got {type(game).__name__}.")
    for strategies in game.strategy_sets:
        if not isinstance(strategies, Simplex) or strategies.mask is not None:
            raise ValueError(
                "game must have whole simplices as strategy sets, since the format has no other, "
                f"got {strategies}."
            )
    if isinstance(game, MatrixGame):
        payoff = np.asarray(game.payoff, np.float64)
        payoffs = np.stack([payoff, 0 - payoff])  # not -payoff: no negative zeros
    else:
        payoffs = np.asarray(to_normal_form(game).payoffs, np.float64)
    wanted = (game.num_players, *(s.shape[-1] for s in game.strategy_sets))
    if payoffs.shape != wanted:
        raise ValueError(
            f"game must be one game with payoffs of shape {wanted}, got {payoffs.shape}; "
            "write the games of a batch one by one."
        )
    if not np.isfinite(payoffs).all():
        raise ValueError("game must have finite payoffs, got some that are infinite or NaN.")
    return payoffs


def _complete_labels(labels: Labels, counts: tuple[int, ...]) -> Labels:
    """The labels with default names for what has none."""
    players = labels.players or tuple(f"Player {i + 1}" for i in range(len(counts)))
    actions = labels.actions or tuple(default_names(n) for n in counts)
    if len(players) != len(counts) or tuple(len(a) for a in actions) != counts:
        raise ValueError(
            f"game.labels must name {len(counts)} players and {counts} actions, got "
            f"{len(players)} players and {tuple(len(a) for a in actions)} actions."
        )
    return Labels(labels.title, fill_names(players), tuple(fill_names(a) for a in actions))
