"""What sampling on demand returns."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from gamejax._export import AbstractResult, table
from gamejax._reasons import RESULTS
from gamejax._types import Scalar, Strategy
from gamejax.multidistribution._evaluate import WorstLoss
from gamejax.multidistribution._problem import Losses


class OnDemandResult(AbstractResult):
    r"""A predictor, how bad it is at worst, and what it cost.

    Attributes:
        predictor: the average of play: a mixture of hypotheses, shape `(hypotheses,)`, or the
            model's parameters.
        losses: the predictor's losses on fresh samples (or on the test set), with confidence
            intervals: a `WorstLoss`.
        deterministic: those of the deterministic predictor: the weighted majority of binary
            hypotheses; `None` where there is none, or where the predictor is deterministic itself.
        expected: the predictor's exact expected losses, one per distribution, where the problem
            knows them (for data sets: on all rows); else `None`.
        value_bound: $\min_p \sum_j \bar q_j L_j(p)$ at the adversary's average $\bar q$: no
            predictor has a smaller worst loss. `None` where expectations are not known or the
            minimum is not.
        adversary: $\bar q$, the average mixture of distributions.
        samples: how many examples were drawn of each distribution.
        num_steps: how often the learner moved.
        rounds: of sampling: how often it was decided where to draw from.
        bound: with probability $1 - \delta$ the worst expected loss is within `bound` of the best
            mixture's; infinite where nothing is proved.
        exhausted: pools without an example left.
        result: `RESULTS.successful`, or `RESULTS.nonfinite` where numbers overflowed.
    """

    predictor: Strategy
    losses: WorstLoss
    deterministic: WorstLoss | None
    expected: Losses | None
    value_bound: Scalar | None
    adversary: Losses
    samples: Int[Array, "*batch distributions"]
    num_steps: Int[Array, "*batch"]
    rounds: Int[Array, "*batch"]
    bound: Float[Array, "*batch"]
    exhausted: Bool[Array, "*batch distributions"]
    result: RESULTS
    mask: Bool[Array, "*batch distributions"] | None
    static: Any = eqx.field(static=True, default=None)
    name: str = eqx.field(static=True, default="")

    @property
    def model(self) -> Any:
        """The model with the learned parameters.

        Raises:
            TypeError: the predictor is a mixture of hypotheses.
        """
        if self.static is None:
            raise TypeError("A finite class has no model; predictor is a mixture of hypotheses.")
        return eqx.combine(self.predictor, self.static[0])

    @property
    def num_samples(self) -> Int[Array, "*batch"]:
        """How many examples were drawn in all."""
        return self.samples.sum(-1)

    @property
    def worst(self) -> Float[Array, "*batch"]:
        """The exact worst expected loss where it is known, else that on fresh samples."""
        if self.expected is None:
            return self.losses.worst
        hidden = self.expected if self.mask is None else jnp.where(self.mask, self.expected, 0)
        return hidden.max(-1)

    @property
    def gap(self) -> Float[Array, "*batch"]:
        """The certificate: `worst` is at most this much above the best that is possible.

        Infinite where `value_bound` is not known.
        """
        if self.expected is None or self.value_bound is None:
            return jnp.full_like(self.bound, jnp.inf)
        return self.worst - self.value_bound

    def _entries(self) -> Mapping[str, Any]:
        """The numbers; without a model's parameters."""
        found = {
            "method": self.name,
            "result": self.result,
            "worst": self.worst,
            "judged": _judged(self.losses),
            "deterministic": None if self.deterministic is None else _judged(self.deterministic),
            "expected": self.expected,
            "value_bound": self.value_bound,
            "bound": self.bound,
            "adversary": self.adversary,
            "samples": self.samples,
            "num_samples": self.num_samples,
            "num_steps": self.num_steps,
            "rounds": self.rounds,
            "exhausted": self.exhausted,
        }
        return found if self.static is not None else {**found, "mixture": self.predictor}

    def _columns(self) -> dict[str, Any]:
        """A row for each distribution; a batch of runs has a column `run` as well."""
        shape = self.samples.shape
        values = {
            "weight": self.adversary,
            "samples": self.samples,
            "loss": self.losses.losses,
            "low": self.losses.low,
            "high": self.losses.high,
            "exhausted": self.exhausted,
        }
        if self.expected is not None:
            values["expected"] = self.expected
        batch = {"run" if len(shape) == 2 else f"run_{i}": None for i in range(len(shape) - 1)}
        return table({**batch, "distribution": None}, values, shape)

    def __str__(self) -> str:
        if self.adversary.ndim > 1 or isinstance(self.bound, Tracer):
            return repr(self)
        lines = [f"{self.name}: worst loss {self.losses}"]
        if self.expected is not None:
            lines[0] += f"; expected {float(self.worst):.4f}"
        if self.deterministic is not None:
            lines.append(f"  majority vote: worst loss {self.deterministic}")
        if self.value_bound is not None:
            lines.append(f"  no predictor is below {float(self.value_bound):.4f} on all")
        if np.isfinite(self.bound):
            lines.append(f"  proved: within {float(self.bound):.4f} of the best mixture")
        lines.append(
            f"  {int(self.num_samples):,} samples in {int(self.num_steps):,} steps, "
            f"{int(self.rounds):,} rounds of sampling"
        )
        most = np.argsort(-np.asarray(self.adversary), kind="stable")[:5]
        shown = [
            f"{j}: {float(self.adversary[j]):.3f} ({int(self.samples[j]):,} samples, loss "
            f"{float(self.losses.losses[j]):.4f})"
            for j in most
            if self.adversary[j] > 0
        ]
        lines.append("  the adversary's distributions: " + ", ".join(shown))
        empty = [str(j) for j in np.flatnonzero(np.asarray(self.exhausted))]
        if empty:
            lines.append("  RAN OUT of examples of distribution " + ", ".join(empty))
        if bool(self.result == RESULTS.nonfinite):
            lines.append(f"  {RESULTS[RESULTS.nonfinite]}")
        return "\n".join(lines)


def _judged(found: WorstLoss) -> dict[str, Any]:
    return {
        "worst": found.worst,
        "interval": found.interval,
        "losses": found.losses,
        "low": found.low,
        "high": found.high,
        "counts": found.counts,
    }
