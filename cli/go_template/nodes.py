"""The tree of a template."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Dot:
    """The value at hand: `.`"""


@dataclass(frozen=True)
class Literal:
    """A string, number, boolean, or nil as None."""

    value: str | int | float | bool | None


@dataclass(frozen=True)
class Field:
    """`.Spec.Name`, of the value at hand."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class TemplateVariable:
    """`$x`, or `$x.Name`; `$` is what the template is run on."""

    name: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Function:
    """A function's name."""

    name: str


@dataclass(frozen=True)
class Chain:
    """A pipeline in parentheses, and fields of it: `(index .List 0).Name`."""

    pipeline: "Pipeline"
    names: tuple[str, ...]


Operand: TypeAlias = Dot | Literal | Field | TemplateVariable | Function | Chain


@dataclass(frozen=True)
class TemplateCommand:
    """An operand alone, or a function or method and its arguments."""

    operands: tuple[Operand, ...]


@dataclass(frozen=True)
class Pipeline:
    """Commands, each of which gets the value of the one before as its last argument.

    Attributes:
        variables: that its value is given to: none, one, or two (of `range`: index and element).
        declares: they are new (`:=`).
    """

    commands: tuple[TemplateCommand, ...]
    variables: tuple[str, ...] = ()
    declares: bool = False


@dataclass(frozen=True)
class Text:
    """Text as it is."""

    text: str


@dataclass(frozen=True)
class ActionNode:
    """A pipeline whose value is written, unless it is given to a variable."""

    pipeline: Pipeline


@dataclass(frozen=True)
class Block:
    """`if`, `with` or `range`, with what `else` has."""

    kind: str
    pipeline: Pipeline
    body: "Nodes"
    otherwise: "Nodes"


@dataclass(frozen=True)
class LoopExit:
    """`break` or `continue`."""

    kind: str


@dataclass(frozen=True)
class TemplateCall:
    """`template` or `block`: another template, run on the pipeline's value; on nil where there is none."""

    name: str
    pipeline: Pipeline | None


Node: TypeAlias = Text | ActionNode | Block | LoopExit | TemplateCall
Nodes: TypeAlias = tuple[Node, ...]
