"""Checks of the parameters of named games."""


def require(holds: bool, message: str) -> None:
    """Raise a `ValueError` with this message unless the condition holds."""
    if not holds:
        raise ValueError(message)


def numbers(*values: int) -> tuple[str, ...]:
    """Names of actions that are numbers."""
    return tuple(str(v) for v in range(*values))
