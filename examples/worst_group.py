"""One classifier for every group: how bad is it on the worst one, and how many samples that took.

`python -m examples.worst_group [FILE]` reads the Adult census extract (`adult.csv.gz`; UCI, Becker
and Kohavi 1996) and predicts incomes above 50,000; the groups are race by sex. Without a file it
makes up people of whom most share a tell-tale feature that misleads about the few others.
"""

import csv
import gzip
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gamejax import multidistribution as md
from gamejax import solvers

NUMBERS = ("age", "education_num", "capital_gain", "capital_loss", "hours_per_week")
WORDS = ("workclass", "marital_status", "occupation", "relationship", "race", "sex")
OPTIMIZER = optax.sgd(0.3)
People = tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]
"""Features, labels, the number of each person's group, and the groups' names."""


def main(data: Path | None = None, small: bool = False) -> dict[str, float]:
    """Fit all people, then all groups, and judge both on people held out."""
    features, labels, groups, names = (
        made_up(2_000 if small else 20_000) if data is None else load(data)
    )
    held_out = np.random.default_rng(0).random(len(labels)) < 0.3
    rows, kept = (features[~held_out], labels[~held_out]), groups[~held_out]
    start = jnp.zeros(features.shape[1], jnp.float32)
    # As one group, beside empty ones: everything has the same shape and is compiled once.
    options: dict[str, Any] = {"rows": rows, "loss_bound": 3.0, "num_groups": len(names)}
    everyone = md.Parametric(start, log_loss, groups=np.zeros_like(kept), **options)
    by_group = md.Parametric(start, log_loss, groups=kept, **options)
    judge = md.Parametric(start, mistake, (features[held_out], labels[held_out]), groups[held_out])
    sizes = ", ".join(f"{n} {s:,}" for n, s in zip(names, np.bincount(kept), strict=True))
    print(f"{len(kept):,} people with {features.shape[1]} features: {sizes}")
    found = {}
    for name, problem in (("everyone alike", everyone), ("worst group", by_group)):
        run = md.group_dro(
            problem, OPTIMIZER, num_steps=300 if small else 4_000, batch_size=32, num_fresh=1,
            averaging=solvers.Linear(), key=jax.random.key(1),
        )  # fmt: skip
        loss = float(md.evaluate(by_group, run.predictor).worst)
        errors = md.evaluate(judge, run.predictor)
        low, high = (float(end) for end in errors.interval)
        found[name] = float(errors.worst)
        print(
            f"{name:15} worst log loss in training {loss:.3f}, worst error on people held out "
            f"{found[name]:.3f} (95%: {low:.3f} to {high:.3f}), {int(run.num_samples):,} samples"
        )
        if name == "worst group":
            for j in np.argsort(-np.asarray(run.adversary)):
                print(
                    f"  {names[j]:25} weight {run.adversary[j]:.2f}, {int(run.samples[j]):7,} "
                    f"samples, error {errors.losses[j]:.3f}"
                )
    return found


def log_loss(weights: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """The logistic loss of one person."""
    return jnp.logaddexp(0, jnp.where(y == 1, -1, 1) * jnp.vdot(weights, x))


def mistake(weights: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Whether one person is misjudged."""
    return (jnp.vdot(weights, x) > 0) != (y == 1)


def load(path: Path, fewest: int = 300) -> People:
    """Adult, with the groups of at least so many people."""
    with gzip.open(path, "rt") as file:
        people = list(csv.DictReader(file))
    table = {name: np.array([person[name] for person in people]) for name in people[0]}
    columns = [np.ones(len(people))]
    for name in NUMBERS:
        values = table[name].astype(float)
        values = np.log1p(values) if name.startswith("capital") else values
        columns.append((values - values.mean()) / values.std())
    for name in WORDS:
        columns += [(table[name] == word).astype(float) for word in np.unique(table[name])]
    named, groups = np.unique(np.char.add(table["race"] + " ", table["sex"]), return_inverse=True)
    large = np.flatnonzero(np.bincount(groups) >= fewest)
    chosen = np.isin(groups, large)
    labels = table["income_gt_50k"].astype(int)
    features = np.stack(columns, 1).astype(np.float32)
    renumbered = np.searchsorted(large, groups[chosen])
    return features[chosen], labels[chosen], renumbered, [str(named[j]) for j in large]


def made_up(count: int, seed: int = 0) -> People:
    """Labels with an honest noisy feature, and one that agrees with most people's label only."""
    rng = np.random.default_rng(seed)
    labels, odd = rng.integers(0, 2, count), rng.random(count) < 0.06
    sign = 2 * labels - 1
    honest = sign + 1.2 * rng.normal(size=count)
    telltale = np.where(odd, -sign, sign) + 0.5 * rng.normal(size=count)
    others = rng.normal(size=(count, 6))
    features = np.column_stack([np.ones(count), honest, telltale, others]).astype(np.float32)
    names = ["usual, no", "usual, yes", "odd, no", "odd, yes"]
    return features, labels, 2 * odd + labels, names


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
