"""Where an algorithm may look: caps that grow lazily, and how often they had to."""

from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gamejax._numerics import safe_divide
from gamejax._types import Scalar

Geometry: TypeAlias = Literal["box", "ellipsoid"] | bool | Bool[Array, "..."]
r"""The observable set at caps $c$: the box $\{w : w_i \le c_i\}$ or the ellipsoid
$\{w : \sum_i w_i^2/c_i \le 1\}$, which contains it. An array says where it is the ellipsoid, so
that both can be mapped over."""


class Caps(NamedTuple):
    r"""What has been paid for, and what asked for it.

    Attributes:
        cap: $c_i$; 0 before the first round.
        peak: $\max_{\tau \le t} w_{\tau, i}$ of the points asked about.
        num_rounds: how often the caps were raised.
    """

    cap: Float[Array, " k"]
    peak: Float[Array, " k"]
    num_rounds: Int[Array, ""]

    @property
    def overhead(self) -> Scalar:
        r"""$\sum_i c_i$: samples in units of what one distribution alone would need."""
        return self.cap.sum(-1)


def no_caps(like: Float[Array, " k"]) -> Caps:
    """Nothing paid for yet."""
    zeros = jnp.zeros_like(like)
    return Caps(zeros, zeros, jnp.zeros((), jnp.int32))


def as_geometry(geometry: Any) -> Any:
    """`True` (also where) for the ellipsoid, `False` for the box.

    Raises:
        ValueError: it is neither a name nor a boolean.
    """
    if isinstance(geometry, str):
        if geometry in ("box", "ellipsoid"):
            return geometry == "ellipsoid"
    elif isinstance(geometry, bool | np.bool_):
        return bool(geometry)
    elif isinstance(geometry, jax.Array | np.ndarray) and geometry.dtype == bool:
        return geometry
    raise ValueError(
        'geometry must be "box", "ellipsoid" or a boolean array (True: ellipsoid), '
        f"got {geometry!r}."
    )


def check_margin(margin: Any) -> None:
    """Refuse a margin that is not above 1; arrays and tracers pass.

    Raises:
        ValueError: the message says what came.
    """
    if isinstance(margin, int | float) and not margin > 1:
        raise ValueError(f"margin must be > 1, got {margin}.")


def observable(caps: Float[Array, " k"], point: Float[Array, " k"], ellipsoid: Any) -> Array:
    """Whether a point of the simplex lies in the observable set."""
    in_box = jnp.all(point <= caps)
    infinite = jnp.where(point > 0, jnp.inf, 0).astype(point.dtype)
    in_ellipsoid = safe_divide(point * point, caps, infinite).sum() <= 1
    return jnp.where(ellipsoid, in_ellipsoid, in_box)


def ask(caps: Caps, point: Float[Array, " k"], margin: Any, ellipsoid: Any) -> Caps:
    r"""The caps after asking about a point: raised, if it could not be observed.

    $c_i \leftarrow C \max_{\tau \le t} w_{\tau,i}$ where $w_t \notin O(c)$; else they stay.
    """
    peak = jnp.maximum(caps.peak, point)
    seen = observable(caps.cap, point, ellipsoid)
    cap = jnp.where(seen, caps.cap, jnp.asarray(margin, point.dtype) * peak)
    return Caps(cap, peak, caps.num_rounds + (~seen).astype(jnp.int32))


def ask_doubling(caps: Caps, point: Float[Array, " k"], margin: Any) -> Caps:
    r"""As `ask` for the box, with what was asked for at raises alone in place of all peaks.

    $c_i \leftarrow \max(c_i, C w_{t,i})$ where some $w_{t,i} \ge c_i$; so $c = C \hat w$ with the
    $\hat w$ of MDL-Hedge-VC, and $\hat w_i \le \max_\tau w_{\tau,i} \le C \hat w_i$ always.
    """
    seen = jnp.all((point < caps.cap) | (point == 0))
    raised = jnp.maximum(caps.cap, jnp.asarray(margin, point.dtype) * point)
    return Caps(
        jnp.where(seen, caps.cap, raised),
        jnp.maximum(caps.peak, point),
        caps.num_rounds + (~seen).astype(jnp.int32),
    )
