"""Which policy for a click log? Policies judged, and learners tried, on a log of uniform play.

`python -m examples.click_log [DATA]` draws `demo_output/click_log.png`. DATA is a folder with the
Open Bandit logs `obd_men_random.csv.gz` and `obd_men_bts.csv.gz` (Saito et al., arXiv 2008.07146);
without one a log of the same shape is made up.
"""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from gamejax import bandits

ESTIMATORS = ("inverse propensity", "self-normalized", "doubly robust")


def main(data: Path | None, picture: Path, horizon: int = 100_000, copies: int = 100) -> None:
    """Half of the log makes policies, the other half judges them; then learners are tried."""
    log, items, deployed = made_up() if data is None else load(data)
    half = len(log) // 2
    train, test = jax.tree.map(lambda x: x[:half], log), jax.tree.map(lambda x: x[half:], log)
    clicks = jnp.zeros(items).at[train.actions].add(train.rewards)
    shows = jnp.zeros(items).at[train.actions].add(1)
    posterior = jax.random.beta(jax.random.key(0), 1 + clicks, 200 + shows - clicks, (4000, items))
    best = jnp.argsort(-(clicks + 1) / (shows + 200))
    policies = {
        "uniform": jnp.ones(items),
        "best half, evenly": jnp.zeros(items).at[best[: items // 2]].set(1),
        "chance to be best": jnp.zeros(items).at[posterior.argmax(1)].add(1),
        "most clicked": jnp.zeros(items).at[best[0]].set(1),
    }
    if deployed is not None:
        policies["deployed there"] = jnp.zeros(items).at[deployed.actions].add(1)
        truth = 1000 * float(deployed.rewards.mean())
        print(f"deployed there: {truth:.2f} clicks per 1,000 on its own log, to be guessed below")
    found = {name: estimate(test, p / p.sum()) for name, p in policies.items()}
    print(f"clicks per 1,000, from {len(test):,} rounds of uniform play: {', '.join(ESTIMATORS)}")
    for name, each in found.items():
        cells = [f"{1000 * e.value:5.2f} ± {1000 * e.standard_error:4.2f}" for e in each]
        print(f"  {name:18} {'   '.join(cells)}   from {each[0].effective_size:5.0f} rounds' worth")

    rates = ((clicks + 300 * log.rewards.mean()) / (shows + 300)).astype(jnp.float32)
    learners = {
        "UCB1": bandits.ucb1(),
        "UCB1, clicks' scale": bandits.ucb1(0.5, scale=0.1),
        "Thompson sampling": bandits.thompson(),
        "Exp3": bandits.exp3(items, horizon),
    }
    options: dict[str, Any] = {
        "key": jax.random.key(1),
        "num_replications": copies,
        "record_every": horizon // 50,
    }
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    print(f"learners, {horizon:,} rounds with the click rates of the log")
    for name, policy in learners.items():
        run = bandits.simulate(bandits.Bernoulli(rates), policy, horizon, **options)
        lost = f"{run.mean()[-1]:5.0f} ± {run.standard_error()[-1]:3.0f}"
        print(f"  {name:20} loses {lost} of {horizon * rates.max():.0f} clicks")
        run.plot(right, label=name)
    right.set(ylabel="clicks lost")
    for j, label in enumerate(ESTIMATORS):
        value = np.array([1000 * each[j].value for each in found.values()])
        low, high = np.array([1000 * np.array(each[j].interval(0.95)) for each in found.values()]).T
        rows = np.arange(len(found)) + 0.16 * (j - 1)
        left.errorbar(value, rows, xerr=[value - low, high - value], fmt="o", ms=4, label=label)
    left.set(yticks=range(len(found)), yticklabels=list(found), xlabel="clicks per 1,000 rounds")
    left.invert_yaxis()
    left.legend(frameon=False, fontsize=9)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=150)
    plt.close(figure)
    print(f"wrote {picture}")


@jax.jit
def estimate(log: bandits.BanditLog, policy: jax.Array) -> list[bandits.Estimate]:
    """What a policy is worth, by each estimator; the reward model has not seen the round."""
    model = bandits.fit_rewards(log, len(policy), regularization=300.0)
    return [
        bandits.inverse_propensity(log, policy),
        bandits.self_normalized(log, policy),
        bandits.doubly_robust(log, policy, model),
    ]


def made_up() -> tuple[bandits.BanditLog, int, None]:
    """A log of uniform play of 34 items."""
    print("a MADE-UP log, no data given")
    appeal, shown, coin = jax.random.split(jax.random.key(3), 3)
    rates = 0.004 * jnp.exp(0.6 * jax.random.normal(appeal, (34,)))
    items = jax.random.randint(shown, (10_000,), 0, 34)
    clicks = (jax.random.uniform(coin, (10_000,)) < rates[items]).astype(rates.dtype)
    return bandits.BanditLog(items, clicks, jnp.full(10_000, 1 / 34)), 34, None


def load(folder: Path) -> tuple[bandits.BanditLog, int, bandits.BanditLog]:
    """The logs of uniform play and of the policy deployed, and the number of items."""
    uniform, deployed = (
        bandits.load_open_bandit(folder / f"obd_men_{name}.csv.gz") for name in ("random", "bts")
    )
    print(f"Open Bandit: {len(uniform.log):,} rounds, {int(uniform.log.rewards.sum())} clicks")
    return uniform.log, uniform.num_actions, deployed.log


if __name__ == "__main__":
    mpl.use("agg")
    nearby = Path(__file__).parents[2] / "shared" / "data"
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else nearby if nearby.is_dir() else None
    main(given, Path("demo_output") / "click_log.png")
