"""Templates run on values (Go, text/template/exec.go)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cli.go_template.functions import FUNCTIONS
from cli.go_template.nodes import (
    ActionNode,
    Block,
    Chain,
    Dot,
    Field,
    Function,
    Literal,
    LoopExit,
    Nodes,
    Operand,
    Pipeline,
    TemplateCall,
    TemplateCommand,
    TemplateVariable,
    Text,
)
from cli.go_template.parser import parse
from cli.go_template.printing import text_of
from cli.go_template.template_limits import ARGUMENT_CHARACTERS, NESTING, Budget
from cli.go_template.template_values import TemplateMethod, field, is_true, kind
from shoal.errors import InvalidInput

_SHORT_CIRCUIT = ("and", "or")
_NOTHING: Any = object()


class Template:
    """A template that can be run many times.

    Args:
        functions: beside `and` and `or`.
    Raises:
        InvalidInput: it is no template.
    """

    def __init__(self, text: str, functions: Mapping[str, Callable[..., Any]] = FUNCTIONS) -> None:
        self._functions = functions
        self._parsed = parse(text, (*functions, *_SHORT_CIRCUIT))

    def run(self, data: Any, *, functions: Mapping[str, Callable[..., Any]] | None = None) -> str:
        """The text that it makes of a value.

        Raises:
            InvalidInput: a field that is not there, an argument that does not fit, or more than `limits` allow.
        """
        run = _Run(functions or self._functions, data, self._parsed.named)
        run.nodes(self._parsed.nodes, data)
        return "".join(run.made)


class _LoopInterrupted(Exception):
    """`break` or `continue` was met."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class _Run:
    """One run. Variables are a stack: those of a block end with it."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]], data: Any, named: Mapping[str, Nodes]) -> None:
        self._functions = functions
        self._named = named
        self._depth = 0
        self._variables: list[tuple[str, Any]] = [("$", data)]
        self._budget = Budget()
        self.made: list[str] = []

    def nodes(self, nodes: Nodes, dot: Any) -> None:
        """Write what they make."""
        known = len(self._variables)
        for node in nodes:
            self._budget.step()
            if isinstance(node, Text):
                self._write(node.text)
            elif isinstance(node, ActionNode):
                value = self._pipeline(node.pipeline, dot)
                if not node.pipeline.variables:
                    self._write(text_of(value, "<no value>"))
            elif isinstance(node, LoopExit):
                raise _LoopInterrupted(node.kind)
            else:
                self._inner(node, dot)
        del self._variables[known:]

    def _write(self, text: str) -> None:
        self._budget.produce(len(text))
        self.made.append(text)

    def _inner(self, node: Block | TemplateCall, dot: Any) -> None:
        """Templates that call themselves end somewhere."""
        self._depth += 1
        if self._depth > NESTING:
            raise InvalidInput(f"nested too deeply; the maximum is {NESTING}")
        try:
            if isinstance(node, Block):
                self._block(node, dot)
            else:
                self._template(node, dot)
        finally:
            self._depth -= 1

    def _template(self, call: TemplateCall, dot: Any) -> None:
        value = None if call.pipeline is None else self._pipeline(call.pipeline, dot)
        if call.name not in self._named:
            raise InvalidInput(f"template {call.name!r} is not defined")
        outer, self._variables = self._variables, [("$", value)]
        self.nodes(self._named[call.name], value)
        self._variables = outer

    def _block(self, block: Block, dot: Any) -> None:
        known = len(self._variables)
        if block.kind == "range":
            self._range(block, dot)
        else:
            value = self._pipeline(block.pipeline, dot)
            inner = value if block.kind == "with" and is_true(value) else dot
            self.nodes(block.body if is_true(value) else block.otherwise, inner)
        del self._variables[known:]

    def _range(self, block: Block, dot: Any) -> None:
        pipeline = block.pipeline
        value = self._pipeline(Pipeline(pipeline.commands), dot)
        known, is_empty = len(self._variables), True
        for key, element in _elements(value):
            is_empty = False
            self._budget.step()
            # One variable is the element, two are its place and it.
            values = (key, element)[-len(pipeline.variables) :] if pipeline.variables else ()
            for name, each in zip(pipeline.variables, values, strict=True):
                self._set(name, each, declares=pipeline.declares)
            try:
                self.nodes(block.body, element)
            except _LoopInterrupted as left:
                if left.kind == "break":
                    break
            finally:
                del self._variables[known:]
        if is_empty:
            self.nodes(block.otherwise, dot)

    def _set(self, name: str, value: Any, *, declares: bool) -> None:
        if declares:
            self._variables.append((name, value))
            return
        place = next(at for at in reversed(range(len(self._variables))) if self._variables[at][0] == name)
        self._variables[place] = (name, value)

    def _pipeline(self, pipeline: Pipeline, dot: Any) -> Any:
        value: Any = _NOTHING
        for command in pipeline.commands:
            value = self._command(command, dot, value)
        for name in pipeline.variables:
            self._set(name, value, declares=pipeline.declares)
        return value

    def _command(self, command: TemplateCommand, dot: Any, last: Any) -> Any:
        self._budget.step()
        first, *rest = command.operands
        if isinstance(first, Function) and first.name in _SHORT_CIRCUIT:
            return self._lazy(first.name, rest, dot, last)
        arguments = [self._operand(each, dot) for each in rest] + ([] if last is _NOTHING else [last])
        if isinstance(first, Function):
            return self._call(first.name, self._functions[first.name], arguments)
        value = self._operand(first, dot, called=True)
        if isinstance(value, TemplateMethod):
            return self._call(_source_text(first), value.call, arguments)
        if arguments:
            raise InvalidInput(f"{_source_text(first)}: {kind(value)} takes no arguments")
        return value

    def _lazy(self, name: str, operands: list[Operand], dot: Any, last: Any) -> Any:
        """The first that decides, or the last: `and` stops at what is false, `or` at what is true."""
        value: Any = _NOTHING
        for operand in operands:
            value = self._operand(operand, dot)
            if is_true(value) == (name == "or"):
                return value
        value = value if last is _NOTHING else last
        if value is _NOTHING:
            raise InvalidInput(f"{name}: requires an argument")
        return value

    def _call(self, name: str, function: Callable[..., Any], arguments: list[Any]) -> Any:
        if sum(len(each) for each in arguments if isinstance(each, str)) > ARGUMENT_CHARACTERS:
            raise InvalidInput(f"{name}: too long; the maximum is {ARGUMENT_CHARACTERS:,} characters")
        try:
            value = function(*arguments)
        except TypeError:
            raise InvalidInput(f"{name}: invalid arguments ({len(arguments)} given)") from None
        if isinstance(value, str):
            self._budget.produce(len(value))
        return value

    def _operand(self, operand: Operand, dot: Any, *, called: bool = False) -> Any:
        self._budget.step()
        if isinstance(operand, Dot):
            return dot
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Function):
            return self._command(TemplateCommand((operand,)), dot, _NOTHING)
        value = self._fields(operand, dot)
        return value.call() if isinstance(value, TemplateMethod) and not called else value

    def _fields(self, operand: Field | TemplateVariable | Chain, dot: Any) -> Any:
        if isinstance(operand, Field):
            value = dot
        elif isinstance(operand, Chain):
            value = self._pipeline(operand.pipeline, dot)
        else:
            value = next(value for name, value in reversed(self._variables) if name == operand.name)
        for name in operand.names:
            value = field(value, name, _source_text(operand))
        return value


def _elements(value: Any) -> Iterator[tuple[Any, Any]]:
    """Keys and elements, as `range` goes over them: maps by key, a number n from 0 to n - 1."""
    if isinstance(value, dict):
        named = ((name, each) for name, each in value.items() if not isinstance(each, TemplateMethod))
        yield from sorted(named, key=lambda entry: str(entry[0]))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield from ((number, number) for number in range(value))
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif value is not None:
        raise InvalidInput(f"range: {kind(value)} has no elements")


def _source_text(operand: Operand) -> str:
    """As the template has it."""
    if isinstance(operand, Field):
        return "." + ".".join(operand.names)
    if isinstance(operand, TemplateVariable):
        return ".".join((operand.name, *operand.names))
    return ".".join(("(…)", *operand.names)) if isinstance(operand, Chain) else "the value"
