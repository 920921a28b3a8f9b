"""Tells the reference the constructors' arguments of classes that get them from their fields."""

import inspect
from typing import Any

import griffe

KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: griffe.ParameterKind.positional_only,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.VAR_POSITIONAL: griffe.ParameterKind.var_positional,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
    inspect.Parameter.VAR_KEYWORD: griffe.ParameterKind.var_keyword,
}


class Constructors(griffe.Extension):
    """Asks the imported class for its signature."""

    def on_class(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Give a class without `__init__` of its own the one it has when imported."""
        if "__init__" in cls.members or not (cls.parent and cls.parent.is_module):
            return
        module = __import__(cls.module.path, fromlist=[cls.name])
        try:
            found = inspect.signature(getattr(module, cls.name))
        except (TypeError, ValueError):
            return
        own = griffe.Parameter("self", kind=griffe.ParameterKind.positional_only)
        given = [parameter(p) for p in found.parameters.values()]
        cls.set_member(
            "__init__", griffe.Function("__init__", parameters=griffe.Parameters(own, *given))
        )


def parameter(found: inspect.Parameter) -> griffe.Parameter:
    """A parameter as the reference writes it."""
    default = None if found.default is inspect.Parameter.empty else repr(found.default)
    return griffe.Parameter(found.name, kind=KINDS[found.kind], default=default)
