"""A Dockerfile as stages of typed instructions. Pure."""

from dataclasses import dataclass

from shoal.dockerfile.frontends import check_frontend
from shoal.dockerfile.instruction_parsers import parse_instruction
from shoal.dockerfile.instructions import Arg, From, Instruction
from shoal.dockerfile.lines import Directives, LogicalLine, read_directives, read_lines
from shoal.dockerfile.source import FaultList, Location
from shoal.errors import InvalidInput, NotFound

MAX_STAGES = 1_000


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM and the instructions after it.

    Attributes:
        index: from 0, in the order of the file.
        comment: the line right above it, which describes it.
    """

    index: int
    base: From
    instructions: tuple[Instruction, ...]
    comment: str = ""

    @property
    def name(self) -> str:
        """Its name, or else its number."""
        return self.base.alias or str(self.index)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole Dockerfile.

    Attributes:
        arguments: those before the first FROM: they hold in FROM lines, and in stages that declare them again.
        lines: every instruction as it stands in the file.
    """

    directives: Directives
    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    lines: tuple[LogicalLine, ...]

    def stage(self, target: str) -> Stage:
        """The stage that is to be built: by name or number; the last one if `target` is empty.

        Raises:
            NotFound: there is none.
        """
        if not target:
            return self.stages[-1]
        for stage in reversed(self.stages):
            if stage.base.alias == target.lower():
                return stage
        if target.isdecimal() and int(target[:9]) < len(self.stages):
            return self.stages[int(target[:9])]
        names = ", ".join(stage.name for stage in self.stages)
        raise NotFound(f'target stage "{target}" could not be found; the file has {names}')


def parse_dockerfile(text: str, file_name: str = "Dockerfile", *, syntax: str = "") -> Document:
    """Read a Dockerfile.

    Args:
        file_name: what its user calls it.
        syntax: stands in for the directive, as `--build-arg BUILDKIT_SYNTAX` does.

    Raises:
        InvalidInput: with every fault, each with its line; with one alone if the file is of another syntax.
    """
    faults = FaultList(file_name)
    directives = read_directives(text, faults)
    try:
        check_frontend(syntax or directives.syntax)
    except InvalidInput as error:
        faults.add(Location(directives.syntax_line, directives.syntax_line), str(error))
        faults.raise_any()
    lines = tuple(read_lines(text, directives.escape, faults))
    arguments, stages = _split(lines, directives.escape, faults)
    faults.raise_any()
    return Document(directives, arguments, stages, lines)


def _split(lines: tuple[LogicalLine, ...], escape: str, faults: FaultList) -> tuple[tuple[Arg, ...], tuple[Stage, ...]]:
    arguments: list[Arg] = []
    stages: list[tuple[From, list[Instruction], str]] = []
    for line in lines:
        if faults.is_full:
            break
        try:
            instruction = parse_instruction(line, escape)
        except InvalidInput as error:
            faults.add(line.location, str(error))
            continue
        if isinstance(instruction, From):
            stages.append((instruction, [], line.comments[-1] if line.comments else ""))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            arguments.append(instruction)
        else:
            faults.add(line.location, "no build stage in current context: the first instruction must be FROM or ARG")
    _check_stages(len(stages), lines, faults)
    built = (Stage(index, base, tuple(body), comment) for index, (base, body, comment) in enumerate(stages))
    return tuple(arguments), tuple(built)


def _check_stages(count: int, lines: tuple[LogicalLine, ...], faults: FaultList) -> None:
    if not lines:
        faults.add(Location(1, 1), "file with no instructions")
    elif not count and not faults.faults:
        faults.add(lines[-1].location, "dockerfile contains no stages to build: a FROM instruction is missing")
    elif count > MAX_STAGES:
        faults.add(lines[-1].location, f"has {count} stages; the maximum is {MAX_STAGES}")
