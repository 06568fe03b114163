"""`# check=skip=…;error=true`, at the top of a file and above an instruction. Pure. Dockerfile reference, "check"."""

from dataclasses import dataclass

from shoal.dockerfile.checks.check_rules import CheckRule
from shoal.errors import InvalidInput
from shoal.spec_parsers.go_booleans import GO_BOOLEANS

BUILD_ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
"""A `--build-arg` that stands in for the directive."""

_ALL = "all"
_PREFIX = "check="
_KEYS = ("skip", "experimental", "error")


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """Attributes:
    skipped: names of rules; "all": every one.
    experimental: names of rules that are off by themselves; "all": every one.
    fails: a build with a warning fails.
    """

    skipped: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    fails: bool = False

    def has(self, rule: CheckRule) -> bool:
        """Whether a rule is on."""
        if rule.is_experimental and rule.name in self.experimental:
            return True
        if self.skipped & {rule.name, _ALL}:
            return False
        return not rule.is_experimental or _ALL in self.experimental


def parse_check_options(text: str) -> CheckOptions:
    """The value of the directive.

    Raises:
        InvalidInput: an option is unknown or has no value.
    """
    values: dict[str, str] = {}
    for option in filter(None, (each.strip() for each in text.split(";"))):
        key, equals, value = option.partition("=")
        if key.strip() not in _KEYS or not equals:
            raise InvalidInput(f"invalid check option {option[:80]!r}; use {', '.join(f'{key}=…' for key in _KEYS)}")
        values[key.strip()] = value.strip()
    fails = GO_BOOLEANS.get(values.get("error", "false"))
    if fails is None:
        raise InvalidInput(f"invalid check option 'error={values['error'][:80]}'; use error=true or error=false")
    return CheckOptions(
        _names(values.get("skip", "")),
        _names(values.get("experimental", "")),
        fails,
    )


def skipped_in(comments: tuple[str, ...]) -> CheckOptions:
    """What comments above an instruction skip there; reasons follow after `//`. Comments are never a fault."""
    skipped: set[str] = set()
    for comment in comments:
        if comment.startswith(_PREFIX):
            try:
                skipped |= parse_check_options(comment.removeprefix(_PREFIX).partition("//")[0]).skipped
            except InvalidInput:
                continue
    return CheckOptions(frozenset(skipped))


def is_check_comment(comment: str) -> bool:
    """Whether a comment is for the checks."""
    return comment.startswith(_PREFIX)


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip() for name in text.split(","))))
