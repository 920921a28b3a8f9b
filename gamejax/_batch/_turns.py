"""Which programs several CPU devices must run one after the other."""

from collections.abc import Iterator
from typing import Any

from jax.extend import core

FACTORIZATIONS = frozenset({
    "cholesky", "cholesky_update", "eig", "eigh", "geqp3", "geqrf", "hessenberg",
    "householder_product", "lu", "ormqr", "qr", "schur", "svd", "triangular_solve", "tridiagonal",
})  # fmt: skip
"""Primitives that become calls of LAPACK on a CPU."""


def factorizes(jaxpr: Any) -> bool:
    """Whether a program calls LAPACK on a CPU.

    The devices of a CPU share one pool of threads. jaxlib's batched factorizations hand their
    matrices to that pool from one of its threads, and wait in it: as many programs at once as there
    are threads wait for each other forever. Alone, such a program has all threads for itself.
    """
    return any(
        equation.primitive.name in FACTORIZATIONS or any(map(factorizes, _inside(equation.params)))
        for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns
    )


def _inside(params: dict[str, Any]) -> Iterator[Any]:
    """The programs within an equation: bodies of loops, branches, called functions."""
    for value in params.values():
        for x in value if isinstance(value, tuple) else (value,):
            if isinstance(x, core.Jaxpr | core.ClosedJaxpr):
                yield x
