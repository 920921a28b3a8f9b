"""What a simulation returns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from gamejax._export import AbstractResult, over_time

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class BanditResult(AbstractResult):
    r"""Regret and pulls of many replications over time.

    Attributes:
        regret: cumulative regret, in expected rewards of the arms pulled (pseudo-regret), shape
            `(replications, records)`.
        pulls: how often each arm was pulled, `(replications, records, arms)`.
        observed: how often the policy got to see each arm's reward, same shape.
        times: the rounds after which records were taken, `(records,)`.
    """

    regret: Float[Array, "*batch replications records"]
    pulls: Int[Array, "*batch replications records arms"]
    observed: Int[Array, "*batch replications records arms"]
    times: Int[Array, "*batch records"]

    def __str__(self) -> str:
        if self.regret.ndim != 2 or isinstance(self.regret, Tracer):
            return repr(self)
        low, high = np.asarray(self.quantiles((0.05, 0.95))[:, -1])
        shares = np.asarray(self.pulls[:, -1]).mean(0) / max(int(self.times[-1]), 1)
        most = np.argsort(-shares, kind="stable")[:5]
        pulled = ", ".join(f"arm {k} {shares[k]:.1%}" for k in most if shares[k] > 0)
        head = f"regret {float(self.mean()[-1]):.4g} after {int(self.times[-1]):,} rounds"
        if len(self.regret) > 1:
            head += f", mean of {len(self.regret):,} (5% to 95%: {low:.4g} to {high:.4g})"
        return f"{head}\n  pulls: {pulled}"

    def mean(self) -> Float[Array, "*batch records"]:
        """The mean regret over replications."""
        return jnp.mean(self.regret, axis=-2)

    def standard_error(self) -> Float[Array, "*batch records"]:
        """The standard error of `mean`; NaN for a single replication."""
        return jnp.std(self.regret, axis=-2, ddof=1) / self.regret.shape[-2] ** 0.5

    def quantiles(
        self, probabilities: Sequence[float] | Array = (0.05, 0.5, 0.95)
    ) -> Float[Array, "quantiles *batch records"]:
        """Quantiles of the regret over replications."""
        levels = jnp.asarray(probabilities, self.regret.dtype)
        return jnp.quantile(self.regret, levels, axis=-2)

    def plot(self, ax: "Axes | None" = None, *, label: str | None = None, **style: Any) -> "Axes":
        """Mean regret over time with the band between the 5% and 95% quantiles.

        Needs matplotlib (`pip install 'gamejax[plot]'`).

        Args:
            ax: where to draw; default a new figure.
            label: what the legend says; default none.
            **style: passed to the curve.

        Raises:
            ValueError: the result is a batch, or has a single record.
        """
        if self.regret.ndim != 2 or self.regret.shape[1] < 2:
            raise ValueError(
                "plot draws one simulation with several records (record_every below the horizon), "
                f"got regret of shape {self.regret.shape}."
            )
        from gamejax.plot._base import new_axes, tidy  # matplotlib is an extra

        ax = new_axes(ax, (7.0, 4.6))
        times = np.asarray(self.times)
        low, high = np.asarray(self.quantiles((0.05, 0.95)))
        options: dict[str, Any] = {"lw": 1.8, **style}
        (line,) = ax.plot(times, np.asarray(self.mean()), label=label, **options)
        ax.fill_between(times, low, high, color=line.get_color(), alpha=0.15, lw=0)
        ax.set(xlabel="rounds", ylabel="regret")
        if label is not None:
            ax.legend(frameon=False, fontsize=9)
        return tidy(ax)

    def _columns(self) -> dict[str, Any]:
        """A row for each record of each replication."""
        values = {"regret": self.regret, "pulls": self.pulls, "observed": self.observed}
        return over_time(self.times, values, self.regret.shape)
