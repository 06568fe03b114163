"""What a daemon logs, as its settings say; agent, engine and console share it."""

from collections.abc import Iterator
from dataclasses import dataclass

from shoal.errors import Fault
from shoal.telemetry.log_formatters import FORMATS, JSON, LEVELS, TEXT


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """A base of a daemon's settings.

    Attributes:
        log_level: one of `shoal.telemetry.log_formatters.LEVELS`.
        log_format: one of `shoal.telemetry.log_formatters.FORMATS`. log_json: as "json", of earlier releases.
    """

    log_level: str = "info"
    log_format: str = TEXT
    log_json: bool = False

    @property
    def logs_json(self) -> bool:
        """Whether logs are JSON, one object a line."""
        return self.log_json or self.log_format == JSON


def log_faults(options: LogOptions) -> Iterator[Fault]:
    """Faults of the options."""
    if options.log_level not in LEVELS:
        yield Fault("log-level", f'"{options.log_level}" must be one of {", ".join(LEVELS)}')
    if options.log_format not in FORMATS:
        yield Fault("log-format", f'"{options.log_format}" must be one of {", ".join(FORMATS)}')
