"""The runner: each question in a process of its own, once per number of cores."""

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import QUESTIONS, report

RESULTS = Path(__file__).parent / "results"
MARK = "row: "


def main(arguments: list[str] | None = None) -> None:
    """Run questions and write their reports."""
    available = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(QUESTIONS)}")
    parser.add_argument("--profile", choices=("tiny", "fast", "full"), default="fast")
    parser.add_argument("--cores", type=int, nargs="+", help="how many cores, one run for each")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where reports go")
    parser.add_argument("--worker", type=int, nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in QUESTIONS]
    if unknown:
        parser.error(f"no question {', '.join(unknown)}; there are {', '.join(QUESTIONS)}")
    if options.worker:
        return work(options.names[0], options.profile, options.worker)
    counts = options.cores or ([1, len(available)] if options.profile == "full" else [1])
    counts = sorted(set(counts))
    if not 1 <= counts[0] <= counts[-1] <= len(available):
        parser.error(f"--cores must be from 1 to {len(available)}")
    for name in options.names or QUESTIONS:
        runs = [run_apart(name, options.profile, available[:count]) for count in counts]
        label = name if options.profile == "full" else f"{name}-{options.profile}"
        for path in conclude(name, label, options.results, runs):
            print(f"wrote {path}")
    return None


def conclude(name: str, label: str, folder: Path, runs: list[report.Run]) -> list[Path]:
    """Write the report of a question: what its module says of goals, pictures and attempts."""
    module = importlib.import_module(QUESTIONS[name])
    folder.mkdir(parents=True, exist_ok=True)
    goals = [module.goals(rows) for _, rows in runs] if hasattr(module, "goals") else []
    pictures = module.draw(runs, folder, label) if hasattr(module, "draw") else []
    tried, digest = getattr(module, "TRIED", ""), getattr(module, "digest", None)
    written = report.write(
        folder, label, runs, goals=goals, pictures=pictures, tried=tried, digest=digest
    )
    return [*written, *(picture.path for picture in pictures), report.index(folder)]


def run_apart(name: str, profile: str, cores: list[int]) -> report.Run:
    """Run one question in a fresh process on these cores, showing rows as they come."""
    print(f"{name}, {profile} profile, {len(cores)} core(s)", flush=True)
    command = [sys.executable, "-m", "benchmarks", name, "--profile", profile]
    command += ["--worker", *map(str, cores)]
    # Compile times would mean nothing with programs kept from an earlier run.
    hide = ("JAX_COMPILATION_CACHE_DIR",)
    variables = {k: v for k, v in os.environ.items() if k not in hide}
    variables |= {"NUMBA_NUM_THREADS": str(len(cores)), "OMP_NUM_THREADS": str(len(cores))}
    found: list[dict[str, Any]] = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=variables,
        cwd=Path(__file__).parents[1],
    ) as process:
        for line in process.stdout or ():
            if line.startswith(MARK):
                found.append(json.loads(line[len(MARK) :]))
                if len(found) > 1:
                    print("  " + report.line(found[-1]), flush=True)
            else:
                print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(f"{name} ended with exit code {process.returncode}")
    return found[0], found[1:]


def work(name: str, profile: str, cores: list[int]) -> None:
    """In the fresh process: print the environment, then each row."""
    os.sched_setaffinity(0, cores)  # before jax looks
    import jax

    from benchmarks import roofline, timing

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", len(cores))
    module = importlib.import_module(QUESTIONS[name])
    facts = {**timing.environment(), **roofline.measured(len(cores))}
    facts |= {f"accelerator_{key}": value for key, value in roofline.accelerator().items()}
    print(MARK + json.dumps({"question": module.ASKS, **facts}), flush=True)
    for row in module.rows(profile):
        print(MARK + json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
