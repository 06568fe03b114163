"""Variables in instructions, with what a stage knows of them. Pure. Dockerfile reference, "Environment replacement"."""

from collections.abc import Mapping

from shoal.dockerfile.shell_words import LexerOptions, expand


class Expander:
    """Replaces variables in the texts of one instruction, all with the values from before it.

    Args:
        keep_unset: a variable without a value stays as it is written.

    Attributes:
        unset: names that were asked for and have no value, in their order.
    """

    def __init__(self, variables: Mapping[str, str], escape: str = "\\", *, keep_unset: bool = False) -> None:
        self._variables = variables
        self._options = LexerOptions(escape, keep_unset=keep_unset)
        self._in_heredocs = LexerOptions(escape, keep_unset=keep_unset, plain_quotes=True)
        self.unset: dict[str, None] = {}

    def word(self, text: str) -> str:
        """The text as one word. Raises InvalidInput: see `shell_words.expand`."""
        return self._expand(text, self._options)[0]

    def words(self, text: str) -> tuple[str, ...]:
        """The words that the text becomes. Raises InvalidInput."""
        return self._expand(text, self._options)[1]

    def heredoc(self, text: str) -> str:
        """The content of a here-document: quotes mean nothing in it. Raises InvalidInput."""
        return self._expand(text, self._in_heredocs)[0]

    def _expand(self, text: str, options: LexerOptions) -> tuple[str, tuple[str, ...]]:
        found = expand(text, self._variables, options)
        self.unset |= dict.fromkeys(sorted(found.unset))
        return found.text, found.words
