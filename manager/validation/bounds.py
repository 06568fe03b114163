"""Limits on the size of specs and requests. Checked at submission, so that nothing behind the API checks again."""

from typing import Final

# A spec is written twice in one transaction (the service and its revision), and the store bounds one at 1 MiB.
SPEC_BYTES: Final = 480 * 1024
ENGINE_REQUEST_BYTES: Final = 64 * 1024  # what an Engine API client has sent, kept with what was made of it
NAME_LENGTH: Final = 63
LABELS: Final = 256
LABEL_KEY_LENGTH: Final = 256
LABEL_VALUE_BYTES: Final = 4096
LIST_ENTRIES: Final = 1024
TEXT_BYTES: Final = 128 * 1024  # Linux: MAX_ARG_STRLEN, one argument or environment string of execve(2)
EXEC_BYTES: Final = 128 * 1024
PORTS: Final = 256
HOOKS: Final = 32
FILE_BYTES: Final = 500 * 1024
FILE_REFERENCES: Final = 256
# Names that a message lists, before it says "…".
SHOWN_NAMES: Final = 5
NETWORKS: Final = 32
CONSTRAINTS: Final = 64
REPLICAS: Final = 1_000_000
# A year: longer is a mistake in the unit.
DURATION_MS: Final = 366 * 24 * 3600 * 1000
MOMENT_MS: Final = 253_402_300_799_000  # the last second that has a year of four digits
GRACE_MS: Final = 24 * 3600 * 1000
# Docker's own minimum: below it, runc's init process does not start.
MEMORY_MIN_BYTES: Final = 4 * 1024 * 1024
MEMORY_MAX_BYTES: Final = 1 << 50
NANO_CPUS_MIN: Final = 1_000_000  # the kernel's quota of 1 ms in a period of 100 ms is 10,000,000; shares go lower
NANO_CPUS_MAX: Final = 10_000 * 1_000_000_000
PIDS_MAX: Final = 4_194_304  # Linux: PID_MAX_LIMIT, 64 bits
SERVICES_IN_STACK: Final = 500
TARGETS_IN_CALL: Final = 500
REVISIONS_KEPT: Final = 10
"""The newest ones; besides these, one for each of as many task templates."""
RUNS_KEPT: Final = 100
DISCONNECT_MIN_MS: Final = 1_000
# Of the reservation: a task without a limit may use a multiple of it.
TARGET_PERCENT: Final = 1000
LOG_FILE_MIN_BYTES: Final = 4096
LOG_FILES_MAX: Final = 100

DEPENDENCIES = 64
"""Services that a service may depend on."""
