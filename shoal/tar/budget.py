"""Resource limits of unpacking one layer, and their accounting. Layers are untrusted input. Pure.

Whatever costs memory or time without costing the layer's author bytes is limited here; disk writes are limited in
`disk_guard`, and the process as a whole in `sandbox`.
"""

from shoal.errors import InvalidInput

MAX_ENTRIES = 5_000_000
_FREE_ENTRIES = 100_000
_COMPRESSED_BYTES_PER_ENTRY = 2


class LayerBudget:
    """Limits of one layer.

    Attributes:
        entries: headers in the archive, and directories that are made without one.
        header_bytes: extended headers (PAX, GNU long names) in front of one entry.
        default_bytes: attributes that global PAX headers set for all later entries; they are processed for each entry.
        steps: path components that are resolved one by one, if a path passes through symbolic links or missing
            directories; `steps_per_entry` are added for each entry.
        ignored_bytes: content that is not written: of whiteouts, and after the archive's end.
        memory_bytes: private memory of the unpacking process. Zstandard's window takes up to 64 MiB of it.
        processor_seconds: CPU time of that process; `more_seconds` are added for each 64 MiB or 4,096 entries of
            progress.
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

    Entries that differ only in their names take about five bytes each, however well they are compressed; a layer with
    many more is built to keep a host busy.
    """
    return LayerBudget(entries=min(MAX_ENTRIES, _FREE_ENTRIES + blob_bytes // _COMPRESSED_BYTES_PER_ENTRY))


class BudgetMeter:
    """Accounts one layer's use of its budget."""

    def __init__(self, budget: LayerBudget) -> None:
        self.budget = budget
        self.entries = 0
        self._steps_left = budget.steps
        self._ignored = 0

    def add_entry(self) -> None:
        """Count one header, or a directory without a header.

        Raises:
            InvalidInput: the budget is exceeded.
        """
        self.entries += 1
        self._steps_left += self.budget.steps_per_entry
        if self.entries > self.budget.entries:
            raise InvalidInput(f"the layer has too many entries; the maximum for its size is {self.budget.entries}")

    def add_steps(self, count: int) -> None:
        """Count resolved path components.

        Raises:
            InvalidInput: the budget is exceeded.
        """
        self._steps_left -= count
        if self._steps_left < 0:
            raise InvalidInput("the layer's paths contain too many symbolic links or missing directories")

    def add_ignored(self, count: int) -> None:
        """Count bytes that are decompressed and hashed, but not written.

        Raises:
            InvalidInput: the budget is exceeded.
        """
        self._ignored += count
        if self._ignored > self.budget.ignored_bytes:
            raise InvalidInput(
                f"the layer has more than {self.budget.ignored_bytes >> 20} MiB of data outside of its files"
            )
