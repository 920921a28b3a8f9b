"""Benchmarks: one file per question, one timer, one runner.

`python -m benchmarks [NAME...] [--profile fast|full] [--cores N...]` writes a JSON file and a
Markdown report per question into `benchmarks/results/`.

A question is a module with
    ASKS: str                                  what it answers, in one sentence
    rows(profile: str) -> Iterator[dict]       one flat dict per measurement, written as they come
    goals(rows) -> list[Goal]                  optional: what was hoped for and what came
    draw(runs, folder, label) -> list[Picture] optional: pictures for the report
    digest(rows) -> list[dict]                 optional: what the Markdown shows of many rows
    TRIED: str                                 optional: what was tried where goals are missed
and a line in `QUESTIONS`. Profiles are "tiny" (tests), "fast" (under 20 s, for every change) and
"full". Times come from `benchmarks.timing` alone. Each run is a process on as many cores as it
says; on a CPU every core is a device of JAX (`benchmarks.devices`).
"""

QUESTIONS = {
    "zero_sum": "benchmarks.zero_sum",
    "map": "benchmarks.map",
    "iterations": "benchmarks.iterations",
    "bimatrix": "benchmarks.bimatrix",
    "correlated": "benchmarks.correlated",
    "scaling": "benchmarks.scaling",
    "smooth": "benchmarks.smooth",
    "logit": "benchmarks.logit",
    "gpu": "benchmarks.gpu",
    "bandits": "benchmarks.bandits",
    "multicalibration": "benchmarks.multicalibration",
    "adaptivity": "benchmarks.adaptivity",
    "calibration_measures": "benchmarks.calibration_measures",
    "truthfulness": "benchmarks.truthfulness",
    "on_demand": "benchmarks.on_demand",
    "worst_group": "benchmarks.worst_group",
    "online_calibration": "benchmarks.online_calibration",
    "extensive": "benchmarks.extensive",
    "monte_carlo": "benchmarks.monte_carlo",
}
