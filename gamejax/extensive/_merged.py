"""Solvers that play the merged game and answer for the original."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from gamejax._joint import Joint
from gamejax._solution import RESULTS
from gamejax._types import Profile, Scalar, State, Strategy
from gamejax.extensive._form import SequenceForm
from gamejax.extensive._game import SequenceFormGame
from gamejax.games import AbstractGame
from gamejax.solvers import AbstractSolver


class MergedState(eqx.Module):
    """The inner solver's state, and the form of the game that it plays where that is merged."""

    inner: State
    form: SequenceForm | None = eqx.field(static=True)


class Merged(AbstractSolver):
    r"""Plays a solver on the game whose indistinguishable information sets are merged.

    What it vouches for is lifted to the original tree by copying behaviors, and certified there;
    games that do not merge are played as they are. A set that stands for $m$ others sees $m$ times
    their counterfactual values and weighs $m$ times in the dilated entropy. So the iterates are
    those of the original game, to rounding, for

    * `Counterfactual` of learners that ignore the scale of utilities: regret matching, regret
      matching+, their predictive and discounted forms (CFR and its family);
    * learners and solvers that move by the dilated entropy, with steps that do not depend on norms
      (`Hedge`, `MirrorDescent` and `MagneticMirrorDescent` with `Entropy()`, `MirrorProx(0.1)`), or
      by best responses.

    Others, such as `Counterfactual(Hedge(0.1))`, play differently, and no less certified. The
    equilibria found treat alike sets alike; a game may have more.

    Args:
        solver: the solver to play.

    References:
        grohe2014.
    """

    solver: AbstractSolver

    def check(self, game: AbstractGame) -> None:
        self.solver.check(_played(game))

    def init(
        self,
        game: AbstractGame,
        *,
        key: PRNGKeyArray | None,
        dtype: Any,
        start: tuple[Strategy, ...] | None = None,
    ) -> MergedState:
        form = _form(game)
        if start is not None and form is not None:
            start = tuple(_lowered(form, i, x) for i, x in enumerate(start))
        inner = self.solver.init(_played(game), key=key, dtype=dtype, start=start)
        return MergedState(inner, form)

    def step(
        self, game: AbstractGame, state: MergedState, *, key: PRNGKeyArray | None
    ) -> MergedState:
        return MergedState(self.solver.step(_played(game), state.inner, key=key), state.form)

    def advance(
        self,
        game: AbstractGame,
        state: MergedState,
        first: Int[Array, ""],
        count: Int[Array, ""] | int,
        *,
        key: PRNGKeyArray | None,
    ) -> MergedState:
        inner = self.solver.advance(_played(game), state.inner, first, count, key=key)
        return MergedState(inner, state.form)

    def profile(self, state: MergedState) -> Profile:
        return _lifted(state.form, self.solver.profile(state.inner))

    def vouched(self, game: AbstractGame, state: MergedState) -> Profile:
        return _lifted(state.form, self.solver.vouched(_played(game), state.inner))

    def candidates(self, state: MergedState) -> list[Profile]:
        return [_lifted(state.form, x) for x in self.solver.candidates(state.inner)]

    def certificate(self, game: AbstractGame, profile: Profile) -> Scalar:
        """The inner solver's certificate, on the original tree."""
        return self.solver.certificate(game, profile)

    def status(self, state: MergedState) -> RESULTS:
        return self.solver.status(state.inner)

    def settled(self, state: MergedState) -> Bool[Array, ""]:
        return self.solver.settled(state.inner)

    def stats(self, game: AbstractGame, state: MergedState) -> dict[str, Any]:
        """The inner solver's; how many information sets there are, and how many were played."""
        found = self.solver.stats(_played(game), state.inner)
        if not isinstance(game, SequenceFormGame):
            return found
        before, after = (sum(t.num_sets for t in g.form.trees) for g in (game, _played(game)))
        counts = {"information_sets": before, "merged_information_sets": after}
        return {**found, **{name: jnp.int32(count) for name, count in counts.items()}}

    def residual(self, game: AbstractGame, profile: Profile) -> Profile:
        return self.solver.residual(game, profile)


def _played(game: Any) -> Any:
    """The merged game where there is one."""
    merged = getattr(game, "merged", None)
    return game if merged is None else merged


def _form(game: Any) -> SequenceForm | None:
    merged = getattr(game, "merged", None)
    return None if merged is None else merged.form


def _lifted(form: SequenceForm | None, profile: Profile) -> Profile:
    """Behaviors copied to all sets that a merged one stands for; plans then agree as well."""
    if form is None or form.lifts is None or isinstance(profile, Joint):
        return profile
    return tuple(x[lift] for x, lift in zip(profile, form.lifts, strict=True))


def _lowered(form: SequenceForm, player: int, plan: Array) -> Array:
    """The mean of a plan over the sequences that a merged one stands for."""
    assert form.lifts is not None
    tree, lift = form.trees[player], form.lifts[player]
    total = jnp.zeros_like(plan, shape=(tree.num_sequences,)).at[lift].add(plan)
    counts = jnp.zeros_like(total).at[lift].add(1)
    return total / counts
