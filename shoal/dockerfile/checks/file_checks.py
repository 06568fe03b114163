"""Checks of what a file says by itself: letters, names, comments. Pure."""

from collections.abc import Iterator

from shoal.dockerfile.checks import check_rules as rules
from shoal.dockerfile.checks.check_options import is_check_comment
from shoal.dockerfile.checks.check_warnings import WarningCollector
from shoal.dockerfile.document import Document
from shoal.dockerfile.instructions import Arg, From, Instruction, Maintainer
from shoal.dockerfile.lines import LogicalLine
from shoal.dockerfile.source import Location

_RESERVED = ("scratch", "context")
_KEY_OF_SEVERAL = "<arg_key>"


def check_file(document: Document, warnings: WarningCollector) -> None:
    """Warn of each line by itself, then of names that several stages have."""
    _check_casing(document, warnings)
    _check_stage_names(document, warnings)
    for line, instruction in _instructions(document):
        if line.has_empty_continuation:
            last = Location(line.location.last, line.location.last)
            warnings.add(rules.NO_EMPTY_CONTINUATION, last, "Empty continuation line", within=line.location)
        if isinstance(instruction, Maintainer):
            detail = "Maintainer instruction is deprecated in favor of using label"
            warnings.add(rules.MAINTAINER_DEPRECATED, line.location, detail)
        if isinstance(instruction, From):
            _check_from(line, warnings)
        if isinstance(instruction, From | Arg):
            _check_description(line, instruction, warnings)


def _instructions(document: Document) -> Iterator[tuple[LogicalLine, Instruction]]:
    found: dict[Location, Instruction] = {each.origin.location: each for each in document.arguments}
    for stage in document.stages:
        found |= {each.origin.location: each for each in (stage.base, *stage.instructions)}
    for line in document.lines:
        yield line, found[line.location]


def _keyword(line: LogicalLine) -> str:
    return line.text.split(None, 1)[0]


def _check_casing(document: Document, warnings: WarningCollector) -> None:
    keywords = [_keyword(line) for line in document.lines]
    lower, upper = sum(map(str.islower, keywords)), sum(map(str.isupper, keywords))
    is_lower = lower > upper
    for line, keyword in zip(document.lines, keywords, strict=True):
        if keyword != (keyword.lower() if is_lower else keyword.upper()):
            majority = "lowercase" if is_lower else "uppercase"
            detail = f"Command '{keyword}' should match the case of the command majority ({majority})"
            warnings.add(rules.CONSISTENT_INSTRUCTION_CASING, line.location, detail)


def _check_from(line: LogicalLine, warnings: WarningCollector) -> None:
    words = line.text.split()
    if len(words) < 4 or words[-2].lower() != "as":
        return
    keyword, conjunction, name = words[0], words[-2], words[-1]
    if (keyword.isupper() and not conjunction.isupper()) or (keyword.islower() and not conjunction.islower()):
        detail = f"'{conjunction}' and '{keyword}' keywords' casing do not match"
        warnings.add(rules.FROM_AS_CASING, line.location, detail)
    if name != name.lower():
        warnings.add(rules.STAGE_NAME_CASING, line.location, f"Stage name '{name}' should be lowercase")


def _check_stage_names(document: Document, warnings: WarningCollector) -> None:
    seen: set[str] = set()
    for stage in document.stages:
        name, location = stage.base.alias, stage.base.origin.location
        if name in _RESERVED:
            detail = f'Stage name should not use the same name as reserved stage "{name}"'
            warnings.add(rules.RESERVED_STAGE_NAME, location, detail)
        if name and name in seen:
            detail = f'Duplicate stage name "{name}", stage names should be unique'
            warnings.add(rules.DUPLICATE_STAGE_NAME, location, detail)
        seen.add(name)


def _description(comments: tuple[str, ...]) -> list[str]:
    """Comments after the last empty one, those for the checks left out."""
    described: list[str] = []
    for comment in comments:
        if not comment:
            described.clear()
        elif not is_check_comment(comment):
            described.append(comment)
    return described


def _check_description(line: LogicalLine, instruction: From | Arg, warnings: WarningCollector) -> None:
    comments = _description(line.comments)
    if isinstance(instruction, From):
        kind, names = "FROM", [instruction.alias] if instruction.alias else []
    else:
        kind, names = "ARG", [variable.name for variable in instruction.variables]
    if not comments or not names or any(comment.split(None, 1)[0] in names for comment in comments):
        return
    name = names[0] if len(names) == 1 else _KEY_OF_SEVERAL
    detail = f"Comment for {kind} should follow the format: `# {name} <description>`"
    warnings.add(rules.INVALID_DEFINITION_DESCRIPTION, line.location, detail)
