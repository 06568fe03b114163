"""Points in time as texts for users."""

from datetime import UTC, datetime


def utc_text(at_ms: int) -> str:
    """`2026-11-30T14:05:00Z`

    Args:
        at_ms: milliseconds since the Unix epoch.
    """
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
