"""Checks of the instructions of stages. Pure."""

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal.dockerfile.checks import check_rules as rules
from shoal.dockerfile.checks.check_warnings import WarningCollector
from shoal.dockerfile.evaluation.build_sources import ContextSource
from shoal.dockerfile.evaluation.build_steps import CopyAction, Step
from shoal.dockerfile.evaluation.evaluate import EvaluatedStage
from shoal.dockerfile.evaluation.stage_plan import suggest
from shoal.dockerfile.exposed_ports import has_host
from shoal.dockerfile.ignore_patterns import PatternMatcher
from shoal.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Shell,
    Workdir,
)
from shoal.dockerfile.source import Location

_SECRET_WORDS = "apikey|auth|credential|credentials|key|password|pword|passwd|secret|token"  # noqa: S105
_SECRET = re.compile(rf"(?:_|^)(?:{_SECRET_WORDS})(?:_|$)", re.IGNORECASE)
_NO_SECRET = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_WILDCARDS = frozenset("*?[\\")
_ANY_NAME = "\x01"
"""A name that no pattern means but one that means all."""


@dataclass(slots=True)
class StageChecker:
    """Checks one stage, one instruction after another.

    Attributes:
        has_shell: SHELL was set in this stage or what it is built on.
        has_directory: an absolute WORKDIR was.
        ignored: what is left out of the context.
    """

    warnings: WarningCollector
    has_shell: bool = False
    has_directory: bool = False
    ignored: PatternMatcher | None = None
    last: dict[str, Location] = field(default_factory=dict)

    def check(self, stage: EvaluatedStage) -> None:
        """Warn of what its own instructions say; triggers of its base are not in the file."""
        instructions = stage.planned.stage.instructions
        steps = stage.steps[len(stage.steps) - len(instructions) :]
        for instruction, step in zip(instructions, steps, strict=True):
            check = _CHECKS.get(type(instruction))
            if check is not None:
                check(self, instruction, step)
        for each in stage.undefined:
            detail = f"Usage of undefined variable '${each.name}'{suggest_variable(each.name, each.known)}"
            self.warnings.add(rules.UNDEFINED_VAR, each.location, detail)

    def once(self, name: str, location: Location) -> None:
        """Only the last of several counts."""
        if name in self.last:
            detail = (
                f"Multiple {name} instructions should not be used in the same stage because only the last one will be "
                "used"
            )
            self.warnings.add(rules.MULTIPLE_INSTRUCTIONS_DISALLOWED, self.last[name], detail)
        self.last[name] = location


def suggest_variable(name: str, known: frozenset[str]) -> str:
    """` (did you mean $X?)`, or nothing."""
    return suggest(name, known).replace("mean ", "mean $")


def _command(checker: StageChecker, instruction: Cmd | Entrypoint, _step: Step) -> None:
    name, location = type(instruction).__name__.upper(), instruction.origin.location
    checker.once(name, location)
    if instruction.command.is_shell and not checker.has_shell:
        detail = f"JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
        checker.warnings.add(rules.JSON_ARGS_RECOMMENDED, location, detail)


def _healthcheck(checker: StageChecker, instruction: Healthcheck, _step: Step) -> None:
    checker.once("HEALTHCHECK", instruction.origin.location)


def _shell(checker: StageChecker, _instruction: Shell, _step: Step) -> None:
    checker.has_shell = True


def _workdir(checker: StageChecker, instruction: Workdir, _step: Step) -> None:
    if instruction.path.startswith(("/", "$", '"', "'")):
        checker.has_directory = True
    elif not checker.has_directory:
        detail = f'Relative workdir "{instruction.path}" can have unexpected results if the base image changes'
        checker.warnings.add(rules.WORKDIR_RELATIVE_PATH, instruction.origin.location, detail)


def _pairs(checker: StageChecker, instruction: Env | Label, _step: Step) -> None:
    name, location = type(instruction).__name__.upper(), instruction.origin.location
    if instruction.is_old_form:
        detail = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
        checker.warnings.add(rules.LEGACY_KEY_VALUE_FORMAT, location, detail)
    if isinstance(instruction, Env):
        _secrets(checker, name, [variable.name for variable in instruction.variables], location)


def _arg(checker: StageChecker, instruction: Arg, _step: Step) -> None:
    names = [variable.name for variable in instruction.variables]
    _secrets(checker, "ARG", names, instruction.origin.location)


def _secrets(checker: StageChecker, instruction: str, names: list[str], location: Location) -> None:
    for name in names:
        if _SECRET.search(name) and not _NO_SECRET.search(name):
            detail = f'Do not use ARG or ENV instructions for sensitive data ({instruction} "{name}")'
            checker.warnings.add(rules.SECRETS_USED_IN_ARG_OR_ENV, location, detail)


def _expose(checker: StageChecker, instruction: Expose, _step: Step) -> None:
    for port in instruction.ports:
        if "$" in port:
            continue
        protocol = port.partition("/")[2]
        if protocol != protocol.lower():
            detail = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
            checker.warnings.add(rules.EXPOSE_PROTO_CASING, instruction.origin.location, detail)
        if has_host(port):
            detail = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
            checker.warnings.add(rules.EXPOSE_INVALID_FORMAT, instruction.origin.location, detail)


def _copy(checker: StageChecker, instruction: Copy | Add, step: Step) -> None:
    action = step.action
    if checker.ignored is None or not isinstance(action, CopyAction) or action.source != ContextSource():
        return
    for path in action.paths:
        if is_left_out(path, checker.ignored):
            verb = "Add" if isinstance(instruction, Add) else "Copy"
            detail = f'Attempting to {verb} file "{path}" that is excluded by .dockerignore'
            checker.warnings.add(rules.COPY_IGNORED_FILE, instruction.origin.location, detail)


def is_left_out(path: str, ignored: PatternMatcher) -> bool:
    """Whether nothing of a source can be in the context."""
    if _WILDCARDS & set(path):
        return False
    clean = posixpath.normpath(f"/{path}").lstrip("/")
    if clean:
        return ignored.excludes(clean)
    return not ignored.has_exceptions and ignored.excludes(_ANY_NAME)


_CHECKS: Mapping[type[Instruction], Callable[[StageChecker, Any, Step], None]] = {
    Add: _copy,
    Arg: _arg,
    Cmd: _command,
    Copy: _copy,
    Entrypoint: _command,
    Env: _pairs,
    Expose: _expose,
    Healthcheck: _healthcheck,
    Label: _pairs,
    Shell: _shell,
    Workdir: _workdir,
}
