"""A model that is right on average for everyone: before and after multicalibration.

A logistic regression learns from five numbers who earns much (Adult, US census of 1994); it knows
nothing of occupation, education or family. On average it is fine, within groups it is far off. A
`Multicalibrator` corrects its scores with the categories of other people, and a third part of the
data judges: log loss, the largest bias on any of 76 groups and tenth of the score, and the largest
calibration error within a group, each with what chance would give. Without the data in
`../shared/data` a table is made up.

Run with `python -m examples.calibrated_classifier`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from gamejax.calibration import MulticalibrationReport, Multicalibrator

DATA = Path(__file__).parents[2] / "shared" / "data" / "adult.csv.gz"
CATEGORIES = ["race", "sex", "education", "occupation", "relationship", "marital_status",
              "workclass"]  # fmt: skip
NUMBERS = ["age", "education_num", "capital_gain", "capital_loss", "hours_per_week"]


def adult() -> tuple[Any, np.ndarray, np.ndarray]:
    """Categories, labels, and scores of a logistic regression fitted on the first 6,000 people."""
    import pandas as pd
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = pd.read_csv(DATA).sample(frac=1, random_state=0)
    labels = data["income_gt_50k"].to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(data[NUMBERS][:6000], labels[:6000])
    scores = model.predict_proba(data[NUMBERS])[6000:, 1]
    return data[CATEGORIES].iloc[6000:], labels[6000:], scores


def made_up(num_points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two columns of categories that matter, and scores that do not know them."""
    rng = np.random.default_rng(0)
    table = rng.choice(np.array(["a", "b", "c", "d"]), (num_points, 2)).astype(object)
    logit = 2 * rng.normal(size=num_points)
    shift = 2.0 * (table[:, 0] == "a") - 1.5 * ((table[:, 0] == "b") & (table[:, 1] == "c"))
    labels = (rng.random(num_points) < 1 / (1 + np.exp(-logit - shift))).astype(int)
    return table, labels, 1 / (1 + np.exp(-logit))


def main(small: bool = False) -> MulticalibrationReport:
    """Correct the scores, print errors before and after."""
    real = DATA.exists() and not small
    table, labels, scores = adult() if real else made_up(1500 if small else 20_000)
    half = 20_000 if real else len(labels) * 2 // 3
    print(f"{'Adult' if real else 'MADE-UP data'}: {half} points to learn from, "
          f"{len(labels) - half} to judge")  # fmt: skip
    model = Multicalibrator(num_rounds=32 if small else 400)
    model.fit(table[:half], labels[:half], base_scores=scores[:half])
    print(f"{model.num_rounds_} rounds chosen by {model.num_folds} folds")
    report = model.report(
        table[half:], labels[half:], base_scores=scores[half:], num_draws=49 if small else 199
    )
    print(report)
    return report


if __name__ == "__main__":
    main()
