"""What all pictures share: matplotlib, its colors and a fresh pair of axes."""

try:
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
except ImportError as error:
    raise ImportError(
        f"gamejax.plot needs {error.name}: install it with pip install 'gamejax[plot]'."
    ) from None

COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
"""Paul Tol's bright scheme: distinct also for color-blind readers."""


def new_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The axes given, or those of a new figure of this size in inches."""
    return ax if ax is not None else plt.figure(figsize=size, layout="constrained").gca()


def cycle(count: int) -> list[str]:
    """The first so many colors, from the start again after the last."""
    return [COLORS[i % len(COLORS)] for i in range(count)]


def tidy(ax: Axes) -> Axes:
    """The house style: a faint grid, no frame above and on the right."""
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
