"""The tree of a template's tokens (Go, text/template/parse/parse.go)."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cli.go_template.lexer import TemplateToken, tokens
from cli.go_template.nodes import (
    ActionNode,
    Block,
    Chain,
    Dot,
    Field,
    Function,
    Literal,
    LoopExit,
    Node,
    Nodes,
    Operand,
    Pipeline,
    TemplateCall,
    TemplateCommand,
    TemplateVariable,
    Text,
)
from cli.go_template.template_limits import ARGUMENTS, NESTING
from shoal.errors import InvalidInput

_BLOCKS = ("if", "with", "range")
_LOOP_EXITS = ("break", "continue")
_CONSTANTS = {"true": True, "false": False, "nil": None}
_END = TemplateToken("end", "", -1)


@dataclass(frozen=True)
class Parsed:
    """Attributes:
    nodes: of the template itself. named: those that it defines, by name.
    """

    nodes: Nodes
    named: Mapping[str, Nodes]


def parse(template: str, functions: Iterable[str]) -> Parsed:
    """The tree, and those of the templates that it defines.

    Args:
        functions: their names; others are refused.
    Raises:
        InvalidInput: it is no template; the text says where.
    """
    parser = _TemplateParser(template, frozenset(functions))
    nodes = parser.nodes(())
    if (rest := parser.keyword) is not None:
        raise InvalidInput(f"unexpected {{{{{rest}}}}}")
    return Parsed(nodes, parser.named)


class _TemplateParser:
    """Attributes:
    keyword: `end` or `else` that ended the list of nodes read last; None at the template's end.
    named: templates defined so far.
    """

    def __init__(self, template: str, functions: frozenset[str]) -> None:
        self._tokens = list(tokens(template))
        self._at = 0
        self._functions = functions
        self._depth = 0
        self._ranges = 0
        self._variables = ["$"]
        self.keyword: str | None = None
        self.named: dict[str, Nodes] = {}

    def nodes(self, until: tuple[str, ...]) -> Nodes:
        """Up to one of these keywords, or the end."""
        found: list[Node] = []
        self.keyword = None
        while (token := self._next()).kind != "end":
            if token.kind == "text":
                found.append(Text(token.text))
                continue
            word = self._peek()
            if word.kind == "word" and word.text in ("end", "else"):
                self._next()
                self.keyword = word.text
                return tuple(found)
            if word.kind == "word" and word.text == "define":
                self._define(at_top=not until)
                continue
            found.append(self._node(word))
        if until:
            raise InvalidInput("unexpected end of template: missing {{end}}")
        return tuple(found)

    def _node(self, word: TemplateToken) -> Node:
        if word.kind == "word" and word.text in _BLOCKS:
            self._next()
            return self._block(word.text)
        if word.kind == "word" and word.text in _LOOP_EXITS:
            self._next()
            if not self._ranges:
                raise InvalidInput(f"{{{{{word.text}}}}} outside {{{{range}}}}")
            self._expect("close")
            return LoopExit(word.text)
        if word.kind == "word" and word.text in ("template", "block"):
            return self._call(self._next().text)
        pipeline = self._pipeline()
        self._expect("close")
        return ActionNode(pipeline)

    def _define(self, *, at_top: bool) -> None:
        self._next()
        if not at_top:
            raise InvalidInput("{{define}} is only allowed at the top level")
        name = self._name("define")
        self._expect("close")
        self._template(name)

    def _call(self, keyword: str) -> TemplateCall:
        """Of a template; `block` defines it, too."""
        name = self._name(keyword)
        pipeline = None if keyword == "template" and self._peek().kind == "close" else self._pipeline()
        self._expect("close")
        if keyword == "block":
            self._template(name)
        return TemplateCall(name, pipeline)

    def _name(self, keyword: str) -> str:
        token = self._next()
        if token.kind != "string":
            raise InvalidInput(f"{{{{{keyword}}}}} needs a name in quotes")
        return str(_literal(token))

    def _template(self, name: str) -> None:
        """Up to its `end`. It knows no variables, and no `range`, of what is around it."""
        if name in self.named:
            raise InvalidInput(f"template {name!r} is defined twice")
        self._enter()
        outer, self._variables = self._variables, ["$"]
        ranges, self._ranges = self._ranges, 0
        self.named[name] = self.nodes(("end",))
        if self.keyword == "else":
            raise InvalidInput("unexpected {{else}}")
        self._expect("close")
        self.keyword, self._variables, self._ranges = None, outer, ranges
        self._depth -= 1

    def _block(self, kind: str) -> Block:
        self._enter()
        known, is_range = len(self._variables), kind == "range"
        pipeline = self._pipeline(is_range=is_range)
        self._expect("close")
        self._ranges += is_range
        body = self.nodes(("end", "else"))
        self._ranges -= is_range
        otherwise = self._otherwise(kind) if self.keyword == "else" else ()
        if self.keyword == "end":
            self._expect("close")
        self.keyword = None
        del self._variables[known:]
        self._depth -= 1
        return Block(kind, pipeline, body, otherwise)

    def _otherwise(self, kind: str) -> Nodes:
        """After `else`: its nodes, or those of `else if`, which share the block's `end`."""
        if kind != "range" and self._peek().text == kind:
            self._next()
            nested = self._block(kind)
            return (nested,)
        self._expect("close")
        nodes = self.nodes(("end",))
        if self.keyword == "else":
            raise InvalidInput("{{else}} after {{else}}")
        return nodes

    def _pipeline(self, *, is_range: bool = False) -> Pipeline:
        self._enter()
        variables, declares = self._assignment(most=2 if is_range else 1)
        commands = [self._command()]
        while self._peek().text == "|" and self._peek().kind == "sign":
            self._next()
            commands.append(self._command())
        for command in commands[1:]:
            if not isinstance(command.operands[0], Function | Field | TemplateVariable | Chain):
                raise InvalidInput("what follows | in a pipeline must be a function")
        if declares:
            self._variables.extend(variables)
        self._depth -= 1
        return Pipeline(tuple(commands), variables, declares)

    def _assignment(self, most: int) -> tuple[tuple[str, ...], bool]:
        """Variables that the pipeline's value is given to: `$x :=`, `$i, $x :=`, `$x =`."""
        at = self._at
        names: list[str] = []
        while self._peek().kind == "variable" and len(names) < most:
            names.append(self._next().text)
            sign = self._next()
            if sign.text in (":=", "=") and sign.kind == "sign":
                for name in names if sign.text == "=" else ():
                    self._check_variable(name)
                return tuple(names), sign.text == ":="
            if sign.text != ",":
                break
        self._at = at
        return (), False

    def _command(self) -> TemplateCommand:
        operands: list[Operand] = []
        while (token := self._peek()).kind != "close" and token.text not in (")", "|"):
            operands.append(self._operand(self._next()))
        if len(operands) > ARGUMENTS:
            raise InvalidInput(f"too many arguments; the maximum is {ARGUMENTS}")
        if not operands:
            raise InvalidInput(f"missing value at character {max(token.at, 0) + 1}")
        if len(operands) > 1 and isinstance(operands[0], Literal | Dot):
            raise InvalidInput("cannot give arguments to a non-function")
        return TemplateCommand(tuple(operands))

    def _operand(self, token: TemplateToken) -> Operand:
        if token.kind == "field":
            return Field((token.text[1:], *self._fields()))
        if token.kind == "variable":
            self._check_variable(token.text)
            return TemplateVariable(token.text, self._fields())
        if token.kind == "word":
            return self._word(token)
        if token.kind in ("string", "char", "number"):
            return Literal(_literal(token))
        if token.text == "(":
            pipeline = self._pipeline()
            if self._next().text != ")":
                raise InvalidInput(f"unclosed parenthesis at character {token.at + 1}")
            return Chain(pipeline, self._fields())
        if token.text == ".":
            return Dot()
        raise InvalidInput(f"unexpected {token.text!r} at character {token.at + 1}" if token.text else "unexpected end")

    def _word(self, token: TemplateToken) -> Operand:
        if token.text in _CONSTANTS:
            return Literal(_CONSTANTS[token.text])
        if token.text not in self._functions:
            raise InvalidInput(
                f"function {token.text!r} is not defined; available functions: {', '.join(sorted(self._functions))}"
            )
        return Function(token.text)

    def _fields(self) -> tuple[str, ...]:
        names = []
        while self._peek().kind == "field" and self._peek().glued:
            names.append(self._next().text[1:])
        return tuple(names)

    def _check_variable(self, name: str) -> None:
        if name not in self._variables:
            raise InvalidInput(f"undefined variable {name}")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > NESTING:
            raise InvalidInput(f"nested too deeply; the maximum is {NESTING}")

    def _peek(self) -> TemplateToken:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> TemplateToken:
        token = self._peek()
        self._at += 1
        return token

    def _expect(self, kind: str) -> None:
        token = self._next()
        if token.kind != kind:
            raise InvalidInput(f"unexpected {token.text!r} at character {token.at + 1}")


def _literal(token: TemplateToken) -> str | int | float:
    """The value of a literal; a character is its number, as in Go."""
    text = token.text
    try:
        if text.startswith("`"):
            return text[1:-1]
        if token.kind == "number":
            return _number(text)
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise InvalidInput(f"{text[:80]} at character {token.at + 1} is not a literal") from None
    if token.kind == "char" and len(value) != 1:
        raise InvalidInput(f"{text[:80]} at character {token.at + 1} is not one character")
    return ord(value) if token.kind == "char" else str(value)


def _number(text: str) -> int | float:
    if len(text) > 40:
        raise ValueError
    try:
        return int(text, 0)
    except ValueError:
        return float(text)
