"""Why a run ended."""

from typing import Any

import equinox as eqx
import numpy as np


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


def result_names(result: RESULTS) -> Any:
    """The short name of one result, or a nested list of those of a batch."""
    equal = np.stack([np.asarray(getattr(RESULTS, name) == result) for name in _NAMES])
    return np.asarray(_NAMES)[equal.argmax(0)].tolist()
