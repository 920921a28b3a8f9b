"""Which policy for a click log? Policies and learners judged from a log of uniform play.

Run with `python -m examples.click_log [DATA]`; a picture goes to `demo_output/click_log.png`. DATA
is a folder with the Open Bandit logs (`obd_men_random.csv.gz`, `obd_men_bts.csv.gz`; Saito et al.,
arXiv 2008.07146). Where there is none, a log of the same shape is made up, and the output says so.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from gamejax import bandits

NEARBY = Path(__file__).parents[2] / "shared" / "data"
ESTIMATORS = ("inverse propensity", "self-normalized", "direct", "doubly robust", "switch (10)")


class Case(NamedTuple):
    """What is judged: where the log is from, its held-out half, and what might be deployed."""

    source: str
    log: bandits.BanditLog
    policies: dict[str, jax.Array]  # probabilities, (positions, items)
    click_rates: jax.Array  # (positions, items): of a made-up log the truth, else an estimate


def main(
    data: Path | None, output: Path, *, logs: int = 100, horizon: int = 20_000, copies: int = 100
) -> None:
    """Print three tables and draw two of them."""
    case = load(data)
    clicks = int(case.log.rewards.sum())
    print(f"{case.source}: {len(case.log):,} held-out impressions, {clicks} clicks")
    tables = jnp.stack(list(case.policies.values()))
    found = jax.jit(estimate)(case.log, tables)
    print("\nclicks per 1,000 impressions, with standard errors")
    for i, name in enumerate(case.policies):
        cells = [
            f"{1000 * v:5.2f} ± {1000 * e:4.2f}"
            for v, e in zip(found.value[i], found.standard_error[i], strict=True)
        ]
        print(f"  {name:20}  {'   '.join(cells)}   worth {found.effective_size[i, 0]:5.0f} rounds")
    print(f"  {'':20}  {'  '.join(f'{name:13.13}' for name in ESTIMATORS)}")
    print(f"\n{logs} more logs like this one: what each estimator is good for")
    rmse, coverage, sharpe, regret = jax.jit(trials, static_argnums=(2, 3))(
        case.click_rates, tables, len(case.log), logs
    )
    for i, name in enumerate(ESTIMATORS):
        print(
            f"  {name:20}  error {1000 * rmse[i]:.2f}   95% intervals cover {coverage[i]:4.0%}   "
            f"SharpeRatio@3 {sharpe[i]:.2f}   clicks lost by its favorite {1000 * regret[i]:.2f}"
        )
    print(f"\nlearners, {horizon:,} impressions with click rates as above")
    runs = learn(case, horizon, copies)
    for name, (run, replayed) in runs.items():
        lost, error = run.mean()[-1], run.standard_error()[-1]
        print(f"  {name:20}  loses {lost:5.0f} ± {error:3.0f} clicks   on the log: {replayed}")
    output.parent.mkdir(parents=True, exist_ok=True)
    draw(case, found, {name: run for name, (run, _) in runs.items()}, output)
    print(f"\nwrote {output}")


def estimate(log: bandits.BanditLog, tables: jax.Array) -> bandits.Estimate:
    """Every estimator of every policy: one `Estimate` of arrays (policies, estimators)."""
    num_items = tables.shape[-1]
    model = bandits.fit_rewards(log, num_items, regularization=300.0)
    logging = jnp.full(num_items, 1 / num_items)

    def one(table: jax.Array) -> bandits.Estimate:
        target = table[log.positions]
        found = [
            bandits.inverse_propensity(log, target),
            bandits.self_normalized(log, target),
            bandits.direct_method(log, target, model),
            bandits.doubly_robust(log, target, model),
            bandits.switch(log, target, model, logging, threshold=10.0),
        ]
        return jax.tree.map(lambda *x: jnp.stack(x), *found)

    return jax.vmap(one)(tables)


def trials(click_rates: jax.Array, tables: jax.Array, rounds: int, logs: int) -> tuple:
    """Errors, coverage, SharpeRatio@3 and regret of the estimators where the truth is known."""
    truth = (tables * click_rates[None]).sum(-1).mean(-1)
    worth, uniform = jnp.repeat(truth[:, None], len(ESTIMATORS), 1), truth[0]

    def one(key: jax.Array) -> tuple:
        found = estimate(impressions(key, rounds, click_rates), tables)
        low, high = found.interval(0.95)
        metrics = bandits.portfolio_metrics(worth.T, found.value.T, uniform)
        inside = (low <= worth) & (worth <= high)
        return (found.value - worth) ** 2, inside, metrics.sharpe_ratio[:, 2], metrics.regret[:, 0]

    squares, inside, sharpe, regret = jax.lax.map(one, jax.random.split(jax.random.key(1), logs))
    return jnp.sqrt(squares.mean((0, 1))), inside.mean((0, 1)), sharpe.mean(0), regret.mean(0)


def learn(case: Case, horizon: int, replications: int) -> dict:
    """Each learner simulated with the click rates of the case, and replayed on its log."""
    rates = case.click_rates.mean(0).astype(jnp.float32)
    learners = {
        "UCB1": bandits.ucb1(),
        "UCB1, clicks' scale": bandits.ucb1(0.5, scale=0.1),
        "Thompson sampling": bandits.thompson(),
        "Exp3": bandits.exp3(len(rates), horizon),
    }
    log = bandits.BanditLog(
        case.log.actions, case.log.rewards.astype(jnp.float32), case.log.propensities
    )
    environment = bandits.LoggedBandit(log, len(rates), resample=True)
    key, how = jax.random.key(2), {"num_replications": replications}
    return {
        name: (
            bandits.simulate(
                bandits.Bernoulli(rates),
                policy,
                horizon,
                key=key,
                record_every=horizon // 50,
                **how,
            ),
            bandits.replay(environment, policy, key=key, **how),
        )
        for name, policy in learners.items()
    }


def load(folder: Path | None) -> Case:
    """The Open Bandit log, or one of its shape; half of it makes policies, half judges them."""
    if folder is None:
        shape, appeal = (3, 34), jnp.exp(0.6 * jax.random.normal(jax.random.key(3), (34,)))
        truth = 0.004 * jnp.outer(jnp.array([1.2, 1.0, 0.8]), appeal)
        log, source = impressions(jax.random.key(4), 10_000, truth), "a MADE-UP log, no data given"
    else:
        path = folder / "obd_men_random.csv.gz"
        data = bandits.load_open_bandit(path)
        shape, truth, source = (
            (data.num_positions, data.num_actions),
            None,
            f"Open Bandit, {path.name}",
        )
        log = by_position(data.log, shape[0])
    half = len(log) // 2
    train, test = jax.tree.map(lambda x: x[:half], log), jax.tree.map(lambda x: x[half:], log)
    policies = candidates(train, shape)
    if folder is not None and (folder / "obd_men_bts.csv.gz").exists():
        other = bandits.load_open_bandit(folder / "obd_men_bts.csv.gz").log
        places = (other.positions, other.actions)
        total = jnp.zeros(shape).at[places].add(other.propensities)
        mean = total / jnp.maximum(jnp.zeros(shape).at[places].add(1.0), 1)
        policies["deployed there"] = mean / mean.sum(1, keepdims=True)
        clicks = 1000 * other.rewards.mean()
        print(f"Thompson sampling, deployed there: {clicks:.2f} clicks per 1,000 on its own log")
    return Case(source, test, policies, smoothed(log, shape) if truth is None else truth)


def candidates(train: bandits.BanditLog, shape: tuple[int, int]) -> dict[str, jax.Array]:
    """Policies learned from a log, from cautious to bold."""
    items = shape[1]
    clicks = jnp.zeros(items).at[train.actions].add(train.rewards)
    misses = jnp.zeros(items).at[train.actions].add(1 - train.rewards)
    ranked = jnp.argsort(-(clicks + 1) / (clicks + misses + 200))
    draws = jax.random.beta(jax.random.key(5), 1 + clicks, 200 + misses, (4000, items))
    by_item = {
        "uniform": jnp.ones(items),
        "best half, evenly": jnp.zeros(items).at[ranked[: items // 2]].set(1),
        "posterior of the best": jnp.zeros(items).at[draws.argmax(1)].add(1),
        "best five, evenly": jnp.zeros(items).at[ranked[:5]].set(1),
        "most clicked": jnp.zeros(items).at[ranked[0]].set(1),
    }
    return {name: jnp.broadcast_to(p / p.sum(), shape) for name, p in by_item.items()}


def smoothed(log: bandits.BanditLog, shape: tuple[int, int], strength: float = 300.0) -> jax.Array:
    """Click rates: the mean times a factor per position and per item, shrunk towards 1."""
    mean = log.rewards.mean()

    def factors(groups: jax.Array | None, count: int) -> jax.Array:
        clicks = jnp.zeros(count).at[groups].add(log.rewards) + strength * mean
        return clicks / (jnp.zeros(count).at[groups].add(1.0) + strength) / mean

    return mean * jnp.outer(factors(log.positions, shape[0]), factors(log.actions, shape[1]))


def impressions(key: jax.Array, rounds: int, click_rates: jax.Array) -> bandits.BanditLog:
    """A log of uniform play with these click rates."""
    first, second, third = jax.random.split(key, 3)
    positions = jax.random.randint(first, (rounds,), 0, click_rates.shape[0])
    items = jax.random.randint(second, (rounds,), 0, click_rates.shape[1])
    clicks = jax.random.uniform(third, (rounds,)) < click_rates[positions, items]
    uniform = jnp.full(rounds, 1 / click_rates.shape[1])
    log = bandits.BanditLog(items, clicks.astype(uniform.dtype), uniform, None, positions)
    return by_position(log, click_rates.shape[0])


def by_position(log: bandits.BanditLog, positions: int) -> bandits.BanditLog:
    """The log with the indicators of its positions as contexts."""
    contexts = jax.nn.one_hot(log.positions, positions)
    return bandits.BanditLog(log.actions, log.rewards, log.propensities, contexts, log.positions)


def draw(case: Case, found: bandits.Estimate, runs: dict, path: Path) -> None:
    """Left the estimates with 95% intervals, right the clicks that learners lose."""
    mpl.use("agg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    low, high = (1000 * np.asarray(x) for x in found.interval(0.95))
    middle, rows = 1000 * np.asarray(found.value), np.arange(len(case.policies))
    for j, name in enumerate(ESTIMATORS):
        reach = [middle[:, j] - low[:, j], high[:, j] - middle[:, j]]
        left.errorbar(middle[:, j], rows + 0.14 * (j - 2), xerr=reach, fmt="o", ms=4, label=name)
    left.set(yticks=rows, yticklabels=list(case.policies), xlabel="clicks per 1,000 impressions")
    left.invert_yaxis()
    left.legend(frameon=False, fontsize=8, ncol=5, loc="upper center", bbox_to_anchor=(0.4, -0.12))
    for name, run in runs.items():
        run.plot(right, label=name)
    right.set(xlabel="impressions", ylabel="clicks lost")
    figure.suptitle(case.source)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else NEARBY if NEARBY.is_dir() else None
    main(given, Path("demo_output") / "click_log.png")
