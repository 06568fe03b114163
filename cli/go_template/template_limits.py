"""Limits on templates, which may come from an untrusted source."""

from shoal.errors import InvalidInput

TEMPLATE_CHARACTERS = 65_536
NESTING = 100
"""Blocks and parentheses inside each other."""
STEPS = 2_000_000
"""Nodes that one run evaluates."""
OUTPUT_CHARACTERS = 16 << 20
ARGUMENTS = 100
"""Of one function."""
ARGUMENT_CHARACTERS = 1 << 20
"""Of all texts together that one function is given, or that `join` makes."""
WIDTH = 1_000
"""Of what `printf` and `pad` fill up."""


class Budget:
    """What one run may still use.

    Args:
        steps: nodes; output: characters.
    """

    def __init__(self, steps: int = STEPS, output: int = OUTPUT_CHARACTERS) -> None:
        self._steps = steps
        self._output = output

    def step(self) -> None:
        """One node more.

        Raises:
            InvalidInput: that is too many.
        """
        self._steps -= 1
        if self._steps < 0:
            raise InvalidInput(f"the template exceeds the maximum of {STEPS:,} steps")

    def produce(self, characters: int) -> None:
        """Account for a text that was made.

        Raises:
            InvalidInput: that is too much.
        """
        self._output -= characters
        if self._output < 0:
            raise InvalidInput(f"the template output exceeds the maximum of {OUTPUT_CHARACTERS >> 20} MiB")
