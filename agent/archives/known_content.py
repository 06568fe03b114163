"""What is known of a file that was written here, so that it need not be read again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownContent:
    """Attributes:
    digest: SHA-256 of the content, 32 bytes.
    size: bytes. A file of another size is another one.
    capability: the value of `security.capability`, where it has one.
    """

    digest: bytes
    size: int
    capability: tuple[bytes, ...] = ()
