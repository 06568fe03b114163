"""Lazy modules: modules that libraries always import and most commands never use are loaded at first use.

`importlib.util.LazyLoader` does not serve here: it loads a module as soon as the import system looks at its attributes,
which it does at each `import` of it.
"""

import sys
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Becomes an ordinary module when something of it is asked for that it does not have yet.

    A package's path is such a thing too: it is asked for when a module in it is imported.
    """

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        if (name.startswith("__") and name != "__path__") or spec is None or spec.loader is None:
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        if spec.submodule_search_locations is not None:
            self.__path__ = spec.submodule_search_locations
        spec.loader.exec_module(self)
        return getattr(self, name)


def defer(*names: str) -> None:
    """Put modules in place that are loaded when first used. One that is imported already, or not there, stays so.

    To be called before there are threads: two that are the first to use a module would both load it. See
    `load_deferred`.
    """
    for name in names:
        if name not in sys.modules and (spec := _spec_of(name)) is not None:
            made = module_from_spec(spec)
            made.__dict__.pop("__path__", None)
            made.__class__ = _Deferred
            sys.modules[name] = made


def stand_in(name: str, functions: Mapping[str, Callable[..., object]]) -> None:
    """As `defer`, but that some functions of the module are there without loading it; with it, its own take their
    place."""
    defer(name)
    if (module := sys.modules.get(name)) is not None and type(module) is _Deferred:
        module.__dict__.update(functions)


def load_deferred() -> None:
    """Load all that were put in place: to be called before threads are started that may use them."""
    for module in [each for each in sys.modules.values() if type(each) is _Deferred]:
        getattr(module, "_", None)  # anything that is asked for loads it


def _spec_of(name: str) -> ModuleSpec | None:
    """Without importing the packages that it is in, as `importlib.util.find_spec` would."""
    found, path = None, None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        found = PathFinder.find_spec(".".join(parts[:end]), path)
        if found is None:
            return None
        path = found.submodule_search_locations
    return found
