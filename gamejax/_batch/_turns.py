"""Which programs several CPU devices must run one after the other."""

import math
from collections.abc import Iterator
from typing import Any

from jax.extend import core

from gamejax._linalg import in_thread

FACTORIZATIONS = frozenset({
    "cholesky", "cholesky_update", "eig", "eigh", "geqp3", "geqrf", "hessenberg",
    "householder_product", "lu", "ormqr", "qr", "schur", "svd", "triangular_solve", "tridiagonal",
})  # fmt: skip
"""Primitives that become calls of LAPACK on a CPU."""


def must_be_alone(jaxpr: Any) -> bool:
    """Whether a program gives matrices to the threads of a CPU, which all its devices share.

    As many such programs at once as there are threads wait for each other forever, see
    `gamejax._linalg`, whose operations do not count. Alone, a program has all threads for itself.
    """
    return any(
        _divided(equation) or any(map(must_be_alone, _inside(equation.params)))
        for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns
    )


def _divided(equation: core.JaxprEqn) -> bool:
    """Whether an operation is a call of LAPACK that is divided among threads."""
    name = equation.primitive.name
    if name not in ("lu", "cholesky", "triangular_solve"):
        return name in FACTORIZATIONS
    shapes: list[Any] = [getattr(v.aval, "shape", ()) for v in equation.invars]
    *batch, rows, columns = shapes[-1]
    size = rows if name != "triangular_solve" else shapes[0][-1]
    return not in_thread(math.prod(batch), rows * columns * size)


def _inside(params: dict[str, Any]) -> Iterator[Any]:
    """The programs within an equation: bodies of loops, branches, called functions."""
    for value in params.values():
        for x in value if isinstance(value, tuple) else (value,):
            if isinstance(x, core.Jaxpr | core.ClosedJaxpr):
                yield x
