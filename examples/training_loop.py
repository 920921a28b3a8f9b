"""An equilibrium inside a training loop: a network learns what games people believe they play.

Two players meet in situations described by four numbers, and play the logit equilibrium of a game
whose payoffs depend on the situation in a way nobody tells us. We see how they played. An Equinox
network maps the situation to payoffs, the equilibrium of those is a layer, and optax descends on
the loss of the play seen; gradients pass through the equilibrium implicitly, and situations in
which no derivative can be trusted drop out of the step. A network without that layer, which
predicts play directly, is trained on the same data: it does not know that players respond to each
other.

Run with `python -m examples.training_loop`.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import gamejax
from gamejax import games, solvers

ACTIONS, FEATURES, PRECISION = 3, 4, 2.0


def play(payoffs: jax.Array) -> jax.Array:
    """Both players' logit strategies, `(2, actions)`, differentiable in the payoffs."""
    solution = gamejax.solve(
        games.NormalFormGame(payoffs), solvers.LogitEquilibrium(PRECISION), tol=1e-4,
        adjoint=gamejax.Implicit(),
    )  # fmt: skip
    first, second = solution.profile
    return jnp.stack([first, second])


class Through(eqx.Module):
    """A network whose output is a game, and whose prediction is how that is played."""

    network: eqx.nn.MLP

    def __call__(self, situation: jax.Array) -> jax.Array:
        return play(self.network(situation).reshape(2, ACTIONS, ACTIONS))


class Direct(eqx.Module):
    """A network that predicts the strategies themselves."""

    network: eqx.nn.MLP

    def __call__(self, situation: jax.Array) -> jax.Array:
        return jax.nn.softmax(self.network(situation).reshape(2, ACTIONS))


def truth(key: jax.Array, situations: jax.Array) -> jax.Array:
    """How people play: payoffs are smooth functions of the situation."""
    first, second = jax.random.split(key)
    mix = jax.random.normal(first, (2 * ACTIONS**2, FEATURES))
    bend = jax.random.normal(second, (2 * ACTIONS**2, FEATURES))

    def one(situation: jax.Array) -> jax.Array:
        payoffs = jnp.sin(mix @ situation) + 0.5 * jnp.tanh(bend @ situation)
        return play(payoffs.reshape(2, ACTIONS, ACTIONS))

    return jax.vmap(one)(situations)


def loss(model: Through | Direct, situation: jax.Array, seen: jax.Array) -> jax.Array:
    """The divergence of the play seen from what the model expects, per player."""
    expected = model(situation)
    terms = jnp.where(seen > 0, seen * (jnp.log(seen + 1e-9) - jnp.log(expected + 1e-9)), 0)
    return terms.sum(-1).mean()


def train(
    model: Through | Direct, situations: jax.Array, seen: jax.Array, num_steps: int
) -> tuple[Through | Direct, jax.Array]:
    """Adam on all data; the model and the loss of each step."""
    optimizer = optax.adam(3e-3)
    numbers, rest = eqx.partition(model, eqx.is_array)
    each = jax.vmap(
        jax.value_and_grad(lambda n, x, y: loss(eqx.combine(n, rest), x, y)), (None, 0, 0)
    )

    def step(carry: Any, _: None) -> tuple[Any, jax.Array]:
        numbers, state = carry
        values, slopes = each(numbers, situations, seen)
        # An equilibrium close to a bifurcation has NaN for derivatives: leave its situation out.
        kept = jnp.isfinite(
            sum(leaf.reshape(len(seen), -1).sum(1) for leaf in jax.tree.leaves(slopes))
        )
        weights = kept / jnp.maximum(kept.sum(), 1)
        slope = jax.tree.map(lambda g: jnp.tensordot(weights, jnp.nan_to_num(g), 1), slopes)
        change, state = optimizer.update(slope, state)
        return (optax.apply_updates(numbers, change), state), values.mean()

    start = (numbers, optimizer.init(numbers))
    (numbers, _), losses = jax.lax.scan(step, start, length=num_steps)
    return eqx.combine(numbers, rest), losses


def main(num_situations: int = 64, num_plays: int = 200, num_steps: int = 400) -> dict[str, float]:
    """Train both on sampled play, judge them on new situations; their divergences there."""
    keys = jax.random.split(jax.random.key(0), 5)
    situations = jax.random.normal(keys[0], (2 * num_situations, FEATURES))
    strategies = jax.jit(truth)(keys[1], situations)
    counts = jax.random.multinomial(keys[2], num_plays, strategies[:num_situations])
    seen = counts / num_plays
    new, expected = situations[num_situations:], strategies[num_situations:]
    print(f"{num_situations} situations, {num_plays} plays seen in each; {len(new)} new ones judge")
    blind = jnp.full_like(expected, 1 / ACTIONS)
    found = {"uniform guess": float((expected * jnp.log(expected / blind)).sum(-1).mean())}
    for name, kind, outputs in (
        ("through an equilibrium", Through, 2 * ACTIONS**2),
        ("directly", Direct, 2 * ACTIONS),
    ):
        model = kind(eqx.nn.MLP(FEATURES, outputs, 32, 2, jnp.tanh, key=keys[3]))
        model, losses = eqx.filter_jit(train)(model, situations[:num_situations], seen, num_steps)
        judge = eqx.filter_jit(jax.vmap(loss, in_axes=(None, 0, 0)))
        found[name] = float(judge(model, new, expected).mean())
        print(f"  {name:23} divergence in training {losses[0]:.3f} -> {losses[-1]:.4f}")
    for name, value in found.items():
        print(f"  {name:23} divergence on new situations {value:.4f}")
    return found


if __name__ == "__main__":
    main()
