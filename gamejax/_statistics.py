"""What every solution reports beside its certificate."""

from typing import Any

import jax

from gamejax._joint import Joint, Sparse
from gamejax._types import Profile, Strategy
from gamejax.games import AbstractGame, ContinuousGame
from gamejax.metrics import coarse_correlated_gains, gains, projected_step, stability


def statistics(game: AbstractGame, profile: Profile) -> dict[str, Any]:
    """Payoffs and gains of each player at a profile; `nash_gap` where there is one.

    Of `Sparse` strategies the payoffs only: their gains would need every action.
    Of a `ContinuousGame`: the projected step of each player in place of its gain; with up to
    256 parameters in all also `eigenvalues` and `curvature` (`metrics.stability`).
    """
    payoffs = game.expected_payoffs(profile)
    if isinstance(profile, Joint):
        return {"payoffs": payoffs, "player_gaps": coarse_correlated_gains(game, profile)}
    if isinstance(game, ContinuousGame):
        return {"payoffs": payoffs, **_first_order_statistics(game, profile)}
    if any(isinstance(strategy, Sparse) for strategy in profile):
        return {"payoffs": payoffs}
    player_gaps = gains(game, profile)
    return {"payoffs": payoffs, "player_gaps": player_gaps, "nash_gap": player_gaps.max()}


def _first_order_statistics(game: ContinuousGame, profile: tuple[Strategy, ...]) -> dict[str, Any]:
    steps = projected_step(game, profile, game.utilities(profile))
    found = {"player_gaps": steps, "first_order_gap": steps.max()}
    if sum(leaf.size for leaf in jax.tree.leaves(profile)) > 256:
        return found
    local = stability(*jax.lax.stop_gradient((game, profile)))
    return {**found, "eigenvalues": local.eigenvalues, "curvature": local.curvature}
