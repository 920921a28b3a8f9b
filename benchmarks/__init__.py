"""Benchmarks: one file per question, one timer, one runner.

`python -m benchmarks [NAME...] [--profile fast|full] [--cores N...]` writes a JSON file and a
Markdown report per question into `benchmarks/results/`.

A question is a module with
    ASKS: str                                  what it answers, in one sentence
    rows(profile: str) -> Iterator[dict]       one flat dict per measurement, written as they come
and a line in `QUESTIONS`. Profiles are "tiny" (tests), "fast" (under 20 s, for every change) and
"full". Times come from `benchmarks.timing.measure` alone.
"""

QUESTIONS = {"bandits": "benchmarks.bandits"}
