"""Why a run ended, and what it returns."""

from typing import Any

import equinox as eqx
from jaxtyping import Array

from gamejax._types import Profile, Scalar, State


class RESULTS(eqx.Enumeration):
    """Why a solver stopped. Failure is data: compare with `==`, print for a sentence of advice."""

    running = "Still running; take more steps."
    successful = "The certificate is within the tolerance."
    max_steps_reached = (
        "The step budget ran out before the certificate reached the tolerance; "
        "raise max_steps, loosen tol, or try another solver."
    )
    nonfinite = (
        "A number became infinite or NaN; check the payoffs, lower the learning rate, "
        "or compute in float64."
    )
    ray = "Pivoting ended on a ray; perturb the payoffs or start from another label."
    cycled = "Pivoting revisited a basis; perturb the payoffs or use the lexicographic rule."
    fold = "The path turned back at a fold; use the homotopy that follows it by arclength."
    ill_conditioned = (
        "The linear system at the solution is close to singular; gradients there are unreliable."
    )
    stalled = "No step made progress any more; polish the answer or accept its certificate."


_NAMES = (
    "running", "successful", "max_steps_reached", "nonfinite", "ray", "cycled", "fold",
    "ill_conditioned", "stalled",
)  # fmt: skip


def result_name(result: RESULTS) -> str:
    """The short name of one result, such as `"successful"`."""
    return next(name for name in _NAMES if bool(getattr(RESULTS, name) == result))


class Solution(eqx.Module):
    r"""What `solve` returns: a profile, its certificate, and why the run ended.

    Attributes:
        profile: one strategy per player, or a `Joint`.
        gap: the certificate, recomputed from `profile` alone: by default the solver's own
            (`nash_gap` for Nash solvers), in units of payoff.
        result: a `RESULTS`; `RESULTS.successful` where `gap` is at most the tolerance.
        stats: `num_steps`, the payoffs and gains of each player, and what the solver adds.
        state: the solver's last state; `init=` takes the solution to go on from there.
        labels: names of players and actions, where the game has them.
    """

    profile: Profile
    gap: Scalar
    result: RESULTS
    stats: dict[str, Any]
    state: State
    labels: Any = eqx.field(static=True, default=None)

    def __str__(self) -> str:
        from gamejax._show import describe  # it imports this module

        return describe(self)


class Trajectory(eqx.Module):
    """What `play` returns: the gap along the way, records, and the final solution.

    Attributes:
        steps: step counts at which something was recorded, shape `(records,)`.
        gaps: the solver's certificate of what it vouched for then, shape `(records,)`.
        records: what the recording function returned, stacked along a leading axis; or `None`.
        solution: the `Solution` after the last step.
    """

    steps: Array
    gaps: Array
    records: Any
    solution: Solution
