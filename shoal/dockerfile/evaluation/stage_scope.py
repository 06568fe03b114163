"""Variables of one stage. Pure. Dockerfile reference, "ARG", "ENV"; the later of an ARG and an ENV of one name counts,
as in BuildKit: an ARG also overrides what the base image has set.
"""

from collections.abc import Mapping

from shoal.dockerfile.evaluation.global_scope import GlobalScope, ResolvedArgument
from shoal.dockerfile.expansion import Expander
from shoal.dockerfile.instructions import Variable
from shoal.errors import InvalidInput

MAX_CHARACTERS = 4 << 20
"""Of all variables together."""

MAX_VARIABLES = 1_000


class StageScope:
    """Variables in the order of the file.

    Args:
        environment: that of the base.
        build_arguments: `--build-arg`.
        parent: the scope of the stage that this one is built on.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        global_scope: GlobalScope,
        build_arguments: Mapping[str, str],
        parent: "StageScope | None" = None,
    ) -> None:
        self._variables: dict[str, str] = {**environment, **(parent.variables if parent else {})}
        self._declared: dict[str, str | None] = dict(parent._declared) if parent else {}
        self._global_scope = global_scope
        self._build_arguments = build_arguments
        self._size = sum(len(name) + len(value) for name, value in self._variables.items())

    @property
    def variables(self) -> Mapping[str, str]:
        """All that have a value."""
        return self._variables

    @property
    def declared(self) -> frozenset[str]:
        """Names of ARGs, with a value or without."""
        return frozenset(self._declared)

    def declared_values(self) -> dict[str, str]:
        """ARGs as the history of a RUN has them: each once, with the value that the command sees."""
        return {name: self._variables.get(name, value or "") for name, value in self._declared.items()}

    def declare(self, variable: Variable, expander: Expander) -> ResolvedArgument:
        """An ARG: its value is that of `--build-arg`, else its own, else that before the first FROM.

        Raises:
            InvalidInput: the default is none once its variables are replaced.
        """
        name = expander.word(variable.name)
        value = self._build_arguments.get(name)
        is_inherited = value is None and variable.value is None
        if value is None and variable.value is not None:
            value = expander.word(variable.value)
        if is_inherited:
            value = self._global_scope.values.get(name)
        self._declared[name] = value
        if value is not None:
            self.set({name: value})
        return ResolvedArgument(name, value, is_inherited)

    def set(self, pairs: Mapping[str, str]) -> None:
        """Variables of ENV. Raises InvalidInput: all together are too large."""
        for name, value in pairs.items():
            before = self._variables.get(name)
            self._size += len(value) - len(before) if before is not None else len(name) + len(value)
        if self._size > MAX_CHARACTERS:
            raise InvalidInput(f"the variables of the stage have more than {MAX_CHARACTERS} characters")
        if len(self._variables) + sum(name not in self._variables for name in pairs) > MAX_VARIABLES:
            raise InvalidInput(f"the stage has too many variables; the maximum is {MAX_VARIABLES}")
        self._variables |= pairs
