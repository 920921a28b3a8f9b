"""LazyHedge and MDL-Hedge-VC: data is used again until the adversary looks elsewhere."""

import dataclasses
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from gamejax._numerics import HIGHEST, fold, safe_divide
from gamejax._types import Scalar
from gamejax.games import AbstractGame
from gamejax.multidistribution import _totals
from gamejax.multidistribution._game import MultiDistributionGame
from gamejax.multidistribution._mixture_solver import AbstractMixtureSolver
from gamejax.multidistribution._mixture_state import (
    Data,
    MixtureState,
    finite,
    log_sizes,
    mixture,
    num_existing,
)
from gamejax.multidistribution._observable import Caps, ask, ask_doubling

Rule = Literal["lazy", "doubling"]


class LazyHedge(AbstractMixtureSolver):
    r"""Hedge over distributions against empirical risk minimization on data that is used again.

    Step $t$, with caps $c$ (0 at first) and data sets $S_i$ (empty at first):

    * where $w_t$ is not observable at $c$, one **sampling round**: $c$ is raised and each $S_i$
      grown to $\lceil N c_i \rceil$ samples;
    * $h_t = \arg\min_h \sum_i w_{t,i}\, \overline{\ell}_{S_i}(h)$;
    * $r_i$ = mean loss of $h_t$ on fresh samples of $D_i$; $w_{t+1} \propto w_t \exp(\eta r)$.

    The answer is the uniform mixture of $h_1, \ldots, h_T$. With `rule="lazy"` this is LazyHedge:
    $c_i = C \max_{\tau \le t} w_{\tau,i}$, $\lceil n c_i\rceil$ fresh samples each (the paper draws
    those of later steps ahead, in the sampling rounds; the number and the law are the same);
    $O(k \log_C k)$ rounds with boxes, $\tilde O(\sqrt k)$ with ellipsoids, and
    $\tilde O((d + k)/\varepsilon^2)$ samples. With `rule="doubling"` it is MDL-Hedge-VC:
    $c = C \hat w$ with $\hat w \leftarrow \max(\hat w, w_t)$ where some $w_{t,j} \ge C \hat w_j$,
    data sets of $\lceil N \hat w_i\rceil$, and $\lceil n \max_\tau w_{\tau,i}\rceil$ fresh samples.

    Data is kept as sufficient statistics: the total loss of every hypothesis on every $S_i$.

    Args:
        learning_rate: $\eta$, in 1/loss.
        train_size: $N$, of the order $(d + k)/\varepsilon^2$.
        test_size: $n$, of the order $k$.
        margin: $C > 1$.
        ellipsoid: whether the observable set is the ellipsoid; `rule="lazy"` only.
        delta: the probability with which the confidence widths that are summed up may fail.
        rule: see above.
        exact: expectations in place of samples; the samples that would have been drawn are counted.

    References:
        haghtalab2025 (LazyHedge); zhang2024 (MDL-Hedge-VC).
    """

    learning_rate: float | Scalar
    train_size: float | Scalar
    test_size: float | Scalar
    margin: float | Scalar = 2.0
    ellipsoid: Any = False
    delta: float | Scalar = 0.05
    rule: Rule = eqx.field(static=True, default="lazy")
    exact: bool = eqx.field(static=True, default=False)

    @property
    def keeps(self) -> bool:
        return not self.exact

    def step(self, game: Any, state: MixtureState, *, key: PRNGKeyArray | None) -> MixtureState:
        caps = self._ask(state)
        return self._play(game, self._round(game, state, caps, fold(key, 0)), fold(key, 1))

    def advance(
        self,
        game: Any,
        state: MixtureState,
        first: Int[Array, ""],
        count: Int[Array, ""] | int,
        *,
        key: PRNGKeyArray | None,
    ) -> MixtureState:
        """As the default, step for step. A batch waits for one another at sampling rounds.

        So rounds, of which there are few, are not paid for in each step by everyone.
        """
        count = jnp.asarray(count, jnp.int32)

        def unfinished(carry: tuple[Array, MixtureState]) -> Array:
            return carry[0] < count

        def observable(carry: tuple[Array, MixtureState]) -> Array:
            done, state = carry
            return (done < count) & (self._ask(state).num_rounds == state.caps.num_rounds)

        def one(carry: tuple[Array, MixtureState]) -> tuple[Array, MixtureState]:
            done, state = carry
            state = eqx.tree_at(lambda s: s.caps, state, self._ask(state))
            return done + 1, self._play(game, state, fold(fold(key, first + done), 1))

        def look(carry: tuple[Array, MixtureState]) -> tuple[Array, MixtureState]:
            done, state = carry
            own = fold(fold(key, first + done), 0)
            state = self._round(game, state, self._ask(state), own)
            data, rest = state.data, eqx.tree_at(lambda s: s.data.totals, state, jnp.zeros(()))

            def with_data(state: MixtureState) -> MixtureState:
                return eqx.tree_at(lambda s: s.data, state, data)

            def one_lean(carry: tuple[Array, MixtureState]) -> tuple[Array, MixtureState]:
                done, state = one((carry[0], with_data(carry[1])))
                return done, eqx.tree_at(lambda s: s.data.totals, state, jnp.zeros(()))

            # Data stays out of what the steps carry: a batch would copy it in each.
            done, rest = jax.lax.while_loop(observable, one_lean, (done, rest))
            return done, with_data(rest)

        return jax.lax.while_loop(unfinished, look, (jnp.zeros((), jnp.int32), state))[1]

    def _ask(self, state: MixtureState) -> Caps:
        if self.rule == "doubling":
            return ask_doubling(state.caps, state.weights, self.margin)
        return ask(state.caps, state.weights, self.margin, self.ellipsoid)

    def _round(
        self, game: MultiDistributionGame, state: MixtureState, caps: Caps, key: Any
    ) -> MixtureState:
        """The state after a sampling round, if the caps ask for one."""
        asked = caps.num_rounds > state.caps.num_rounds
        size = jnp.asarray(self.train_size, game.dtype)
        if self.rule == "doubling":
            size = size / jnp.asarray(self.margin, game.dtype)
        wanted = jnp.ceil(size * caps.cap).astype(jnp.int32)
        missing = jnp.where(asked, jnp.maximum(wanted - state.data.counts, 0), 0)
        pools, data = state.pools, state.data
        if self.exact:
            data, drawn = Data(data.totals, data.counts + missing), missing
        else:
            found = _totals.of_each(finite(game), missing, pools, key=key)
            drawn, pools = found.counts, found.pools
            data = Data(data.totals + found.losses, data.counts + drawn)
        return eqx.tree_at(
            lambda s: (s.caps, s.data, s.samples, s.pools),
            state,
            (caps, data, state.samples + drawn, pools),
        )

    def _play(self, game: MultiDistributionGame, state: MixtureState, key: Any) -> MixtureState:
        """Minimize the empirical risk, test the minimizer, move the weights."""
        problem, weights = finite(game), state.weights
        sizes = state.data.counts.astype(game.dtype)
        per_sample = safe_divide(weights, sizes)
        if self.exact:
            risks = problem.expected_gradient(mixture(state)[0], weights)
        else:
            risks = jnp.matmul(per_sample, state.data.totals, precision=HIGHEST)
        latest = jnp.argmin(risks).astype(jnp.int32)
        share = state.caps.peak if self.rule == "doubling" else state.caps.cap
        tests = jnp.ceil(jnp.asarray(self.test_size, game.dtype) * share).astype(jnp.int32)
        means, tests, pools = self.test(problem, latest, tests, state.pools, key=key, few=True)
        return dataclasses.replace(
            self.moved(game, state, latest, means),
            width=state.width.add(self._width(problem, state)),
            samples=state.samples + tests,
            pools=pools,
        )

    def _width(self, problem: Any, state: MixtureState) -> Scalar:
        r"""$\sum_i w_i \sqrt{\ln(6 H k n_i (n_i + 1)/\delta)/(2 n_i)}$; 0 with expectations.

        By Hoeffding's inequality and a union over hypotheses, distributions and sizes of samples,
        no empirical risk of a mixture is off by more than this, except with probability
        $\delta/3$.
        """
        if self.exact:
            return jnp.zeros_like(state.weights[0])
        dtype = state.weights.dtype
        fixed = jnp.log(6 * problem.num_hypotheses * num_existing(problem)) - jnp.log(
            jnp.asarray(self.delta, dtype)
        )
        sizes = state.data.counts
        square = safe_divide(fixed + log_sizes(sizes, dtype), 2 * sizes.astype(dtype), 1.0)
        return jnp.vdot(state.weights, jnp.minimum(jnp.sqrt(square), 1), precision=HIGHEST)

    def stats(self, game: AbstractGame, state: MixtureState) -> dict[str, Any]:
        """Sampling rounds, samples and the caps' sum."""
        caps = state.caps
        return {"num_rounds": caps.num_rounds, "samples": state.samples, "overhead": caps.overhead}
