"""The command line: `gamejax solve FILE...` and `gamejax games`."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np

import gamejax
from gamejax import extensive, games, learners, metrics, solvers
from gamejax._reasons import result_name
from gamejax._show import profile_lines
from gamejax.games._files import write_whole

try:
    import typer
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Table
except ImportError as _error:
    raise SystemExit(
        f"The command line needs {_error.name}: install it with pip install 'gamejax[cli]'."
    ) from None

app: typer.Typer = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
errors: Console = Console(stderr=True, highlight=False, soft_wrap=True)


class Notion(StrEnum):
    """Which equilibrium is wanted: Nash, correlated, or coarse correlated."""

    NASH = "nash"
    CE = "ce"
    CCE = "cce"


Track = Callable[[str], None]
PIECE = 20_000
"""Steps between two looks at the terminal."""
UNREACHED = gamejax.RESULTS.max_steps_reached

NASH_SOLVERS: dict[str, Callable[[], solvers.AbstractSolver]] = {
    "simplex": solvers.SimplexMethod,
    "lemke-howson": solvers.LemkeHowson,
    "supports": solvers.SupportEnumeration,
    "prm+": lambda: solvers.SelfPlay(
        learners.PredictiveRegretMatchingPlus(), averaging=solvers.Quadratic(), alternating=True
    ),
    "rm+": lambda: solvers.SelfPlay(
        learners.RegretMatchingPlus(), averaging=solvers.Linear(), alternating=True
    ),
    "hedge": lambda: solvers.SelfPlay(learners.Hedge()),
    "optimistic-hedge": lambda: solvers.SelfPlay(learners.Hedge(optimism=1.0)),
    "fictitious-play": solvers.FictitiousPlay,
    "extragradient": solvers.Extragradient,
    "mirror-prox": solvers.MirrorProx,
    "optimistic-gradient": solvers.OptimisticGradient,
    "extragradient-rm+": solvers.ExtragradientRegretMatchingPlus,
    "clairvoyant-hedge": solvers.ClairvoyantHedge,
    "cfr": extensive.cfr,
    "cfr+": extensive.cfr_plus,
    "discounted-cfr": extensive.discounted_cfr,
    "predictive-cfr+": extensive.predictive_cfr_plus,
}
JOINT_LEARNERS: dict[Notion, dict[str, Callable[[], learners.AbstractLearner]]] = {
    Notion.CE: {
        "blum-mansour": lambda: learners.BlumMansour(learners.PredictiveRegretMatchingPlus()),
        "hart-mas-colell": learners.HartMasColell,
        "stoltz-lugosi": learners.StoltzLugosi,
    },
    Notion.CCE: {
        "prm+": learners.PredictiveRegretMatchingPlus,
        "rm+": learners.RegretMatchingPlus,
        "hedge": learners.Hedge,
        "optimistic-hedge": lambda: learners.Hedge(optimism=1.0),
    },
}


def main() -> None:
    """Entry point of the `gamejax` command; float64 in this process."""
    config: Any = jax.config
    config.update("jax_enable_x64", True)
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"gamejax {gamejax.__version__}, JAX {jax.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, help="Print versions and exit.")
    ] = False,
) -> None:
    """Certified equilibria of finite games."""


@app.command()
def solve(
    files: Annotated[
        list[str], typer.Argument(help="Game files (.nfg, .efg), or names from `gamejax games`.")
    ],
    solver: Annotated[
        str | None, typer.Option(help="Method; `--solver help` lists them. Default: by the game.")
    ] = None,
    notion: Annotated[Notion, typer.Option(help="Kind of equilibrium.")] = Notion.NASH,
    tol: Annotated[float, typer.Option(help="Wanted gap, in units of payoff.")] = 1e-3,
    max_steps: Annotated[int, typer.Option(help="Step budget per game.")] = 100_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Also write NAME.json per game to this folder.")
    ] = None,
) -> None:
    """Solve games and print each one's strategies, value, gap and result."""
    methods = list(NASH_SOLVERS if notion is Notion.NASH else JOINT_LEARNERS[notion])
    if solver is not None and solver not in methods:
        message = f"--solver for {notion.value} is one of: {', '.join(methods)}"
        print(message if solver == "help" else f"{message}; got {solver!r}.", file=sys.stderr)
        raise typer.Exit(0 if solver == "help" else 2)
    if not tol >= 0 or max_steps < 0:
        print("--tol and --max-steps must be at least 0.", file=sys.stderr)
        raise typer.Exit(2)
    if output is not None:
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            print(f"--output must be a folder, got {output}: {error.strerror}.", file=sys.stderr)
            raise typer.Exit(2) from None
    names = Counter[str]()
    reports: list[dict[str, Any]] = []
    failed = 0
    with _progress(files) as track:
        for source in files:
            try:
                report, lines = _solve_one(source, solver, notion, tol, max_steps, track)
            except (OSError, ValueError, TypeError, MemoryError, UnicodeDecodeError) as error:
                failed += 1
                message = str(error) or type(error).__name__
                message = message if str(source) in message else f"{source}: {message}"
                errors.print(f"[red]error[/red] {_escape(message)}")
                continue
            reports.append(report)
            if output is not None:
                stem = Path(source).stem
                names[stem] += 1
                path = output / (
                    f"{stem}_{names[stem]}.json" if names[stem] > 1 else f"{stem}.json"
                )
                write_whole(path, json.dumps(report, indent=2) + "\n")
            if not as_json:
                print("\n".join(lines), flush=True)
    if as_json:
        print(json.dumps(reports, indent=2))
    if failed:
        errors.print(f"{failed} of {len(files)} games could not be solved.")
        raise typer.Exit(1)


@app.command("games")
def list_games() -> None:
    """List the built-in library of named games."""
    table = Table("name", "players", "actions", "what it is", box=None, pad_edge=False)
    for name, game in games.library.all_games().items():
        counts = " x ".join(str(s.shape[-1]) for s in game.strategy_sets)
        about = " ".join((getattr(games.library, name).__doc__ or "").split("\n\n")[0].split())
        table.add_row(name, str(game.num_players), counts, _escape(about))
    width = None if sys.stdout.isatty() else 250
    Console(highlight=False, width=width).print(table)


def _open(source: str) -> games.AbstractGame:
    """The game of a file, or of the library where no such file exists."""
    library = games.library.all_games()
    if not Path(source).exists() and source in library:
        return library[source]
    if Path(source).is_dir():
        raise IsADirectoryError(f"{source}: this is a folder; name the files in it.")
    if not Path(source).is_file():
        raise FileNotFoundError(
            f"{source}: no such file, and no game of that name in the library (`gamejax games`)."
        )
    return games.load(source)


def _choose(
    name: str | None, notion: Notion, game: games.AbstractGame
) -> tuple[solvers.AbstractSolver, Any]:
    """The solver, and the certificate of the notion (`None`: the solver's own)."""
    if notion is Notion.NASH:
        return (solvers.default_solver(game) if name is None else NASH_SOLVERS[name]()), None
    choices = JOINT_LEARNERS[notion]
    learner = choices[next(iter(choices)) if name is None else name]()
    gap = metrics.correlated_gap if notion is Notion.CE else metrics.coarse_correlated_gap
    return solvers.SelfPlay(learner, averaging=solvers.Linear(), output="joint"), gap


def _solve_one(
    source: str, name: str | None, notion: Notion, tol: float, max_steps: int, track: Track
) -> tuple[dict[str, Any], list[str]]:
    """One game's report, as data and as lines of text."""
    game = _open(source)
    solver, gap = _choose(name, notion, game)
    begin = time.perf_counter()
    solution, taken = None, 0
    while solution is None or (taken < max_steps and solution.result == UNREACHED):
        # In pieces, so that the bar moves; `init=` goes on exactly where the last piece ended.
        piece = min(PIECE, max_steps - taken)
        solution = gamejax.solve(game, solver, gap=gap, tol=tol, max_steps=piece, init=solution)
        taken += piece
        steps, worst = int(solution.stats["num_steps"]), float(solution.gap)
        track(f"{Path(source).name}: {steps:,} steps, gap {worst:.1e}")
    result = result_name(solution.result)
    seconds = time.perf_counter() - begin
    report: dict[str, Any] = {
        "source": source,
        "notion": notion.value,
        "tol": tol,
        "seconds": round(seconds, 3),
        **solution.to_dict(),
    }
    title = game.labels.title if game.labels and game.labels.title else source
    if game.num_players == 2 and notion is Notion.NASH and _is_zero_sum(game):
        report["value"] = report["payoffs"][0]
    value = f", value {report['value']:.6g}" if "value" in report else ""
    head = f"{title}  [{source}: {game.num_players} players, {_size(game)}]"
    summary = (
        f"  {result}{value}, {notion.value} gap {report['gap']:.2e} "
        f"after {report['num_steps']} steps, {seconds:.2f} s"
    )
    advice = [] if result == "successful" else [f"  {report['message']}"]
    return report, [head, *profile_lines(solution), summary, *advice]


def _size(game: games.AbstractGame) -> str:
    """How many actions or information sets the players have."""
    if isinstance(game, extensive.SequenceFormGame):
        counts, what = [tree.num_sets for tree in game.form.trees], "information sets"
    else:
        counts, what = [s.shape[-1] for s in game.strategy_sets], "actions"
    return f"{' x '.join(map(str, counts))} {what}"


def _is_zero_sum(game: games.AbstractGame) -> bool:
    """Whether one player's payoff is always minus the other's, up to a constant."""
    if isinstance(game, games.MatrixGame):
        return True
    if not isinstance(game, games.NormalFormGame | extensive.SequenceFormGame):
        return False
    total = game.payoffs.sum(0)
    rounding = max(1e-9, 100 * float(np.finfo(total.dtype).eps))
    return bool(total.max() - total.min() <= rounding * float(abs(game.payoffs).max()))


@contextmanager
def _progress(files: list[str]) -> Generator[Track]:
    """A function that shows a message beside a bar on the error stream, if that is a terminal."""
    if not errors.is_terminal:
        yield lambda message: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(f"{len(files)} games", total=None)
        yield lambda message: bar.update(task, description=message)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
