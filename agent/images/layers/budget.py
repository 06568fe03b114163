"""What the unpacking of one layer may take, as a value, and the meter that holds it to that. Pure.

A layer is a stranger's word. What costs memory or time without costing the layer's author bytes has a bound here;
what is written to the disk has its bound in `disk`, and what the process may take as a whole in `sandbox`.
"""

from shoal.errors import InvalidInput

MAX_ENTRIES = 5_000_000
_FREE_ENTRIES = 100_000
_COMPRESSED_BYTES_PER_ENTRY = 2


class LayerBudget:
    """Bounds of one layer.

    Attributes:
        entries: headers in the archive, and directories that are made without one.
        header_bytes: extended headers (PAX, GNU long names) in front of one entry.
        default_bytes: attributes that global PAX headers set for all later entries; they are looked at for each.
        steps: components of paths that are looked at one by one, where a path passes through symbolic links or
            directories that are not there yet; so many more for each entry.
        ignored_bytes: content that is written nowhere: of whiteouts, and after the archive's end.
        memory_bytes: private memory of the process that unpacks. Zstandard's window takes up to 64 MiB of it.
        processor_seconds: of that process; `more_seconds` are added for each 64 MiB or 4,096 entries that it gets done.
    """

    header_bytes = 1 << 20
    default_bytes = 16 << 10
    ignored_bytes = 64 << 20
    memory_bytes = 256 << 20
    more_seconds = 5

    def __init__(
        self,
        *,
        entries: int = MAX_ENTRIES,
        steps: int = 1_000_000,
        steps_per_entry: int = 16,
        processor_seconds: int = 60,
    ) -> None:
        self.entries = entries
        self.steps = steps
        self.steps_per_entry = steps_per_entry
        self.processor_seconds = processor_seconds


def budget_for(blob_bytes: int) -> LayerBudget:
    """The budget of a layer by its compressed size.

    Entries that differ in their names alone take some five bytes each, however well they are compressed; a layer with
    many more repeats itself to keep a host busy.
    """
    return LayerBudget(entries=min(MAX_ENTRIES, _FREE_ENTRIES + blob_bytes // _COMPRESSED_BYTES_PER_ENTRY))


class BudgetMeter:
    """Counts what one layer has taken of its budget."""

    def __init__(self, budget: LayerBudget) -> None:
        self.budget = budget
        self.entries = 0
        self._steps_left = budget.steps
        self._ignored = 0

    def add_entry(self) -> None:
        """One more header, or directory without one.

        Raises:
            InvalidInput: more than the budget has.
        """
        self.entries += 1
        self._steps_left += self.budget.steps_per_entry
        if self.entries > self.budget.entries:
            raise InvalidInput(f"the layer has too many entries; the maximum for its size is {self.budget.entries}")

    def add_steps(self, count: int) -> None:
        """So many components of a path were looked at.

        Raises:
            InvalidInput: more than the budget has.
        """
        self._steps_left -= count
        if self._steps_left < 0:
            raise InvalidInput("the layer's paths contain too many symbolic links or missing directories")

    def add_ignored(self, count: int) -> None:
        """So many bytes were inflated and hashed for nothing.

        Raises:
            InvalidInput: more than the budget has.
        """
        self._ignored += count
        if self._ignored > self.budget.ignored_bytes:
            raise InvalidInput(
                f"the layer has more than {self.budget.ignored_bytes >> 20} MiB of data outside of its files"
            )
