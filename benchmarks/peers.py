"""Who else solves these games: packages and programs in C, as rivals of gamejax in a race."""

import dataclasses
import functools
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import c_kernels, peer_loops
from benchmarks.contest import Rival, first_call, missing, seconds, version

Solve = Callable[[np.ndarray, int], np.ndarray]
"""Profiles `(games, 2, n)` of (float64 payoffs, number of cores)."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """Something that solves a stack of games.

    Attributes:
        name: as it stands in the report.
        needs: the modules that it imports; "gcc" for the compiler.
        package: whose version is reported.
        solve: the call that is timed.
        slow: a loop in Python, of which a few games are enough: its speed is per game.
    """

    name: str
    needs: tuple[str, ...]
    package: str
    solve: Solve
    slow: bool = False


def in_loop(loop: peer_loops.Loop) -> Solve:
    """The loop, in one process per core."""
    return functools.partial(peer_loops.over_cores, loop)


def _quantecon(function: str) -> Solve:
    def solve(payoffs: np.ndarray, cores: int) -> np.ndarray:
        from benchmarks import peer_numba  # its threads are as many as the process has cores

        return getattr(peer_numba, function)(payoffs)

    return solve


ZERO_SUM = (
    Peer("quantecon minmax", ("quantecon", "numba"), "quantecon", _quantecon("quantecon_minmax")),
    Peer("scipy HiGHS", ("scipy",), "scipy", in_loop(peer_loops.highs), slow=True),
    Peer("nashpy", ("nashpy",), "nashpy", in_loop(peer_loops.nashpy), slow=True),
    Peer("pygambit lp_solve", ("pygambit",), "pygambit", in_loop(peer_loops.pygambit), slow=True),
    Peer(
        "OpenSpiel LP",
        ("pyspiel", "open_spiel", "cvxpy", "ecos"),
        "open-spiel",
        in_loop(peer_loops.open_spiel),
        slow=True,
    ),
)
"""Exact solvers of zero-sum games in packages."""

BIMATRIX = (
    Peer(
        "quantecon lemke_howson",
        ("quantecon", "numba"),
        "quantecon",
        _quantecon("quantecon_lemke_howson"),
    ),
    Peer(
        "quantecon lemke_howson, public call",
        ("quantecon", "numba"),
        "quantecon",
        in_loop(peer_loops.quantecon_bimatrix),
        slow=True,
    ),
    Peer(
        "nashpy lemke_howson", ("nashpy",), "nashpy", in_loop(peer_loops.nashpy_bimatrix), slow=True
    ),
    Peer(
        "pygambit lcp_solve",
        ("pygambit",),
        "pygambit",
        in_loop(peer_loops.pygambit_bimatrix),
        slow=True,
    ),
)


def rivals(peers: Sequence[Peer], payoffs: np.ndarray, cores: int, limit_s: float) -> list[Rival]:
    """The peers with as many of the games as they do in about `limit_s` seconds."""
    return [rival(peer, payoffs, cores, limit_s) for peer in peers]


def rival(peer: Peer, payoffs: np.ndarray, cores: int, limit_s: float) -> Rival:
    """The peer, or a line that says what is not installed."""
    absent = missing(peer.needs)
    if absent is not None:
        return Rival(peer.name, note=absent)
    games, few = len(payoffs), payoffs[:cores]
    compile_s = None if peer.slow else first_call(lambda: peer.solve(few, cores))
    count = fitting(lambda part: peer.solve(part, cores), payoffs, cores, limit_s)
    sample = payoffs[:count]
    return Rival(
        peer.name,
        lambda: peer.solve(sample, cores),
        amount=count,
        games=count,
        version=version(peer.package),
        warm_up=(lambda: peer.solve(few, cores)) if peer.slow else None,
        compile_s=compile_s,
        note=None if count == games else f"{count} of {games} games",
    )


def fitting(
    solve: Callable[[np.ndarray], Any], payoffs: np.ndarray, cores: int, limit_s: float
) -> int:
    """How many games take about `limit_s` seconds; starting a call must not look like work."""
    games, count = len(payoffs), min(cores, len(payoffs))
    while True:
        part = payoffs[:count]
        taken = seconds(lambda part=part: solve(part))
        if count == games or taken > limit_s / 4:
            return max(count, min(games, int(count * limit_s / taken)))
        count = min(games, 8 * count)


def c_simplex(payoffs: np.ndarray, cores: int, limit_s: float) -> Rival:
    """Forty lines of C: a dense tableau, one game after another on each core."""
    peer = Peer("C simplex", (), "", lambda games, cores: c_kernels.simplex(games, cores=cores)[0])
    if not c_kernels.available():
        return Rival(peer.name, note="not installed: gcc")
    found = rival(peer, payoffs, cores, limit_s)
    count, n = found.games or 0, payoffs.shape[-1]
    sample = payoffs[:count]
    return dataclasses.replace(
        found,
        call=lambda: c_kernels.simplex(sample, cores=cores),
        answer=lambda result: result[0],
        flops=lambda result: tableau_flops(result[1], n),
        version=gcc(),
    )


def tableau_flops(pivots: float, n: int) -> float:
    """Operations of so many pivots in a tableau of `n + 1` by `n + 1` numbers."""
    return 2.0 * pivots * (n + 1) ** 2


def c_regret_matching(
    payoffs: np.ndarray, tol: float, cores: int, *, max_steps: int, check_every: int
) -> Rival:
    """Predictive regret matching+ in C, a SIMD lane per game, alternating, quadratic averages."""
    name = "C PRM+"
    games, n = payoffs.shape[:2]
    if not c_kernels.available():
        return Rival(name, note="not installed: gcc")
    if n > 8 and n % 8:
        return Rival(name, note="needs a multiple of 8 actions")
    dtype = "float32" if tol >= 1e-4 else "float64"
    cast = payoffs.astype(dtype)

    def call() -> np.ndarray:
        return c_kernels.self_play(
            cast,
            "PRM+",
            max_steps,
            alternating=True,
            power=2,
            check_every=check_every,
            tol=tol,
            cores=cores,
        )

    return Rival(name, call, amount=games, games=games, dtype=dtype, version=gcc())


def mpax(payoffs: np.ndarray, tol: float, cores: int, limit_s: float) -> Rival:
    """MPAX's restarted primal-dual method, mapped over games; its tolerance a tenth of `tol`."""
    name = "MPAX raPDHG, vmapped"
    absent = missing(("mpax",))
    if absent is not None:
        return Rival(name, note=absent)
    from benchmarks import peer_mpax

    dtype = "float32" if tol >= 1e-4 else "float64"
    solve, games = peer_mpax.solver(tol / 10, dtype, cores), len(payoffs)
    few = min(games, 64 * cores)
    compile_s = first_call(lambda: solve(payoffs[:few].astype(dtype)))
    # Every other size compiles anew, so it is these few games or all.
    alone = seconds(lambda: solve(payoffs[:few].astype(dtype)))
    count = games if alone * games / few <= limit_s else few
    sample = payoffs[:count].astype(dtype)
    return Rival(
        name,
        lambda: solve(sample),
        amount=count,
        games=count,
        dtype=dtype,
        version=version("mpax"),
        compile_s=compile_s,
        note=None if count == games else f"{count} of {games} games",
    )


@functools.cache
def gcc() -> str:
    """The compiler's version."""
    found: Any = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True)
    return f"gcc {found.stdout.strip()}"
