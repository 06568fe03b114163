"""What a parser of one instruction gets. Pure."""

from dataclasses import dataclass

from shoal.dockerfile import arguments
from shoal.dockerfile.builder_flags import FlagValues
from shoal.dockerfile.heredocs import Heredoc, parse_heredoc
from shoal.dockerfile.instructions import Origin
from shoal.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Arguments:
    """Attributes:
    name: the instruction, in upper case.
    text: what follows its flags.
    """

    origin: Origin
    name: str
    text: str
    flags: FlagValues
    heredocs: tuple[Heredoc, ...]
    escape: str

    def require_text(self) -> str:
        """The text without blanks around it. Raises InvalidInput: there is none."""
        if not self.text.strip():
            raise InvalidInput(f"{self.name} requires at least one argument")
        return self.text.strip()

    def sources(self) -> tuple[tuple[str, ...], str]:
        """Paths that are copied, without here-documents, and where to. Raises InvalidInput: one of them is missing."""
        self.require_text()
        *sources, destination = arguments.words(self.text) or ("",)
        if not sources:
            only = "but only one was provided. Destination could not be determined"
            raise InvalidInput(f"{self.name} requires at least two arguments, {only}")
        if self.heredocs and parse_heredoc(destination) is not None:
            raise InvalidInput(f"{self.name} cannot have a here-document as its destination")
        if self.heredocs:
            sources = [source for source in sources if parse_heredoc(source) is None]
        return tuple(sources), destination
