"""The instructions of one stage, one after another. Pure. Dockerfile reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal.distribution.manifests import Platform
from shoal.dockerfile.evaluation import history_text
from shoal.dockerfile.evaluation.build_sources import BuildSource
from shoal.dockerfile.evaluation.build_steps import Action, CopyAction, DirectoryAction, HistoryLine, RunAction, Step
from shoal.dockerfile.evaluation.copy_evaluation import add_action, copy_action
from shoal.dockerfile.evaluation.run_evaluation import run_command, run_mounts
from shoal.dockerfile.evaluation.stage_scope import StageScope
from shoal.dockerfile.expansion import Expander
from shoal.dockerfile.image_settings import (
    Settings,
    apply_setting,
    command_words,
    directory_of,
    expand_pairs,
    texts_of,
)
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
    Maintainer,
    OnBuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from shoal.dockerfile.source import Location

MAX_UNDEFINED = 100
"""Variables of a stage that are named; more are the same again."""


@dataclass(frozen=True, slots=True)
class UndefinedVariable:
    """A variable that an instruction uses and nothing sets.

    Attributes:
        known: the names that are set there.
    """

    location: Location
    name: str
    known: frozenset[str] = field(repr=False)


@dataclass(slots=True)
class StageEvaluator:
    """Changes the state of one stage with each instruction.

    Attributes:
        find_source: what `--from` means in this stage.
        has_command: CMD stands in this stage; ENTRYPOINT clears one that does not.
        proxies: variables of each RUN that are in no key.
    """

    settings: Settings
    scope: StageScope
    platform: Platform
    escape: str
    find_source: Callable[[str], BuildSource]
    proxies: tuple[tuple[str, str], ...] = ()
    author: str = ""
    has_command: bool = False
    undefined: list[UndefinedVariable] = field(default_factory=list)

    def evaluate(self, instruction: Instruction) -> Step:
        """The step that an instruction is.

        Raises:
            InvalidInput: it means nothing once its variables are replaced.
        """
        expander = Expander(self.scope.variables, self.escape)
        line, action = _EVALUATE.get(type(instruction), _setting)(self, instruction, expander)
        self._record_undefined(instruction, expander)
        return Step(instruction.origin, line, action)

    def _record_undefined(self, instruction: Instruction, expander: Expander) -> None:
        for name in expander.unset:
            if name not in self.scope.declared and len(self.undefined) < MAX_UNDEFINED:
                known = frozenset(self.scope.variables) - {name}
                self.undefined.append(UndefinedVariable(instruction.origin.location, name, known))


Evaluated = tuple[HistoryLine, Action | None]


def _arg(stage: StageEvaluator, instruction: Arg, expander: Expander) -> Evaluated:
    resolved = []
    for variable in instruction.variables:
        one = Expander(stage.scope.variables, stage.escape)
        resolved.append(stage.scope.declare(variable, one))
        expander.unset |= one.unset
    return HistoryLine(history_text.argument_text(resolved)), None


def _env(stage: StageEvaluator, instruction: Env, expander: Expander) -> Evaluated:
    pairs = expand_pairs(instruction.variables, expander)
    apply_setting(stage.settings, instruction, expander)
    stage.scope.set(pairs)
    return HistoryLine(history_text.pairs_text("ENV", pairs)), None


def _run(stage: StageEvaluator, instruction: Run, expander: Expander) -> Evaluated:
    command, scripts = run_command(instruction)
    directory = directory_of(stage.settings)
    action = RunAction(
        arguments=tuple(command_words(command, stage.settings)),
        environment=tuple(sorted(stage.scope.variables.items())),
        directory=directory,
        user=_user(stage.settings),
        platform=stage.platform,
        mounts=run_mounts(instruction, directory, expander, stage.find_source),
        scripts=scripts,
        network=instruction.network,
        security=instruction.security,
        proxies=tuple((name, value) for name, value in stage.proxies if name not in stage.scope.variables),
    )
    text = history_text.run_text(action.arguments, stage.scope.declared_values())
    return HistoryLine(text, is_empty=False), action


def _copy(stage: StageEvaluator, instruction: Copy, expander: Expander) -> Evaluated:
    source = stage.find_source(instruction.from_stage)
    action = copy_action(instruction, directory_of(stage.settings), expander, source)
    return _copied("COPY", instruction, action, expander)


def _add(stage: StageEvaluator, instruction: Add, expander: Expander) -> Evaluated:
    action = add_action(instruction, directory_of(stage.settings), expander, stage.find_source)
    return _copied("ADD", instruction, action, expander)


def _copied(name: str, instruction: Copy | Add, action: CopyAction, expander: Expander) -> Evaluated:
    sources = (*map(expander.word, instruction.sources), *(f"<<{heredoc.name}" for heredoc in instruction.heredocs))
    text = history_text.copy_text(name, sources, expander.word(instruction.destination), action.flags)
    return HistoryLine(text, is_empty=False), action


def _workdir(stage: StageEvaluator, instruction: Workdir, expander: Expander) -> Evaluated:
    apply_setting(stage.settings, instruction, expander)
    path = directory_of(stage.settings)
    if path == "/":
        return HistoryLine("WORKDIR /"), None
    return HistoryLine(f"WORKDIR {path}", is_empty=False), DirectoryAction(path, _user(stage.settings))


def _cmd(stage: StageEvaluator, instruction: Cmd, expander: Expander) -> Evaluated:
    stage.has_command = True
    return _setting(stage, instruction, expander)


def _entrypoint(stage: StageEvaluator, instruction: Entrypoint, expander: Expander) -> Evaluated:
    if not stage.has_command:
        stage.settings.pop("Cmd", None)
    return _setting(stage, instruction, expander)


def _maintainer(stage: StageEvaluator, instruction: Maintainer, _expander: Expander) -> Evaluated:
    stage.author = instruction.name
    return HistoryLine(f"MAINTAINER {instruction.name}"), None


def _setting(stage: StageEvaluator, instruction: Instruction, expander: Expander) -> Evaluated:
    apply_setting(stage.settings, instruction, expander)
    return HistoryLine(_setting_text(stage.settings, instruction, expander)), None


def _setting_text(settings: Settings, instruction: Instruction, expander: Expander) -> str:
    match instruction:
        case Cmd():
            return history_text.command_text("CMD", texts_of(settings, "Cmd"))
        case Entrypoint():
            return history_text.command_text("ENTRYPOINT", texts_of(settings, "Entrypoint"))
        case Label():
            return history_text.pairs_text("LABEL", expand_pairs(instruction.variables, expander))
        case Shell():
            return history_text.list_text("SHELL", instruction.words)
        case Expose():
            added: Settings = {}
            apply_setting(added, instruction, expander)
            return history_text.list_text("EXPOSE", sorted(added["ExposedPorts"]))
        case Volume():
            return history_text.list_text("VOLUME", [expander.word(path) for path in instruction.paths])
        case User():
            return f"USER {settings['User']}"
        case StopSignal():
            return f"STOPSIGNAL {settings['StopSignal']}"
        case OnBuild():
            return f"ONBUILD {instruction.instruction}"
        case Healthcheck():
            return history_text.healthcheck_text(settings, instruction)
    return type(instruction).__name__.upper()


def _user(settings: Mapping[str, Any]) -> str:
    user = settings.get("User")
    return user if isinstance(user, str) else ""


_EVALUATE: Mapping[type[Instruction], Callable[[StageEvaluator, Any, Expander], Evaluated]] = {
    Add: _add,
    Arg: _arg,
    Cmd: _cmd,
    Copy: _copy,
    Entrypoint: _entrypoint,
    Env: _env,
    Maintainer: _maintainer,
    Run: _run,
    Workdir: _workdir,
}
