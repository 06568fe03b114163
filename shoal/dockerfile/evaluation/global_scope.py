"""ARGs before the first FROM, and those that exist without being declared. Pure.

Dockerfile reference, "Understand how ARG and FROM interact", "Predefined ARGs".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from shoal.dockerfile.document import Document
from shoal.dockerfile.evaluation.build_options import BuildOptions
from shoal.dockerfile.evaluation.platforms import platform_arguments
from shoal.dockerfile.expansion import Expander
from shoal.dockerfile.source import FaultList
from shoal.errors import InvalidInput, NotFound

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
PROXY_NAMES = frozenset((*_PROXIES, *map(str.upper, _PROXIES)))
BUILDER_NAMES = frozenset({"SOURCE_DATE_EPOCH"})
_BUILDER_PREFIX = "BUILDKIT_"
_DEFAULT_STAGE = "default"


@dataclass(frozen=True, slots=True)
class GlobalScope:
    """Attributes:
    values: ARGs that have one.
    declared: all that exist, with a value or without.
    """

    values: Mapping[str, str]
    declared: frozenset[str]


class ResolvedArgument(NamedTuple):
    """An ARG and its value; None: it has none.

    Attributes:
        is_inherited: the value is that of the global scope.
    """

    name: str
    value: str | None
    is_inherited: bool = False

    @property
    def text(self) -> str:
        """As it stands in the history."""
        return self.name if self.value is None or self.is_inherited else f"{self.name}={self.value}"


def read_global_scope(document: Document, options: BuildOptions, faults: FaultList) -> GlobalScope:
    """The scope that FROM lines have."""
    predefined = platform_arguments(options.platform, options.build_platform)
    predefined["TARGETSTAGE"] = _target_name(document, options)
    values = {name: options.arguments.get(name, value) for name, value in predefined.items()}
    declared = set(values)
    for argument in document.arguments:
        for variable in argument.variables:
            expander = Expander(values, document.directives.escape)
            try:
                name = expander.word(variable.name)
                value = options.arguments.get(name)
                if value is None and variable.value is not None:
                    value = expander.word(variable.value)
            except InvalidInput as error:
                faults.add(argument.origin.location, str(error))
                continue
            declared.add(name)
            if value is not None:
                values[name] = value
    return GlobalScope(values, frozenset(declared))


def proxy_environment(arguments: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Proxies that every RUN has; neither the history nor a cache key has them. The lower case wins."""
    proxies: dict[str, str] = {}
    for name in _PROXIES:
        value = arguments.get(name, arguments.get(name.upper()))
        if value is not None:
            proxies |= {name: value, name.upper(): value}
    return tuple(sorted(proxies.items()))


def is_predefined(name: str) -> bool:
    """Whether a build argument means something without being declared."""
    return name in PROXY_NAMES or name in BUILDER_NAMES or name.startswith(_BUILDER_PREFIX)


def _target_name(document: Document, options: BuildOptions) -> str:
    """TARGETSTAGE: the target as it is asked for, else the name of the last stage."""
    if options.target:
        return options.target
    try:
        return document.stage("").base.alias or _DEFAULT_STAGE
    except (IndexError, NotFound):
        return _DEFAULT_STAGE
