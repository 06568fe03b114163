"""Messages between the agent and its unpack program: short texts. Pure."""

from shoal.errors import Exhausted, InvalidInput, ShoalError, Unavailable

MAX_BYTES = 16 << 10

_ERRORS: dict[str, type[ShoalError]] = {each.__name__: each for each in (InvalidInput, Exhausted, Unavailable)}
_TEXT_LENGTH = 2000
_RESULT, _EXIT = b"result ", b"exit "


class UnpackRequest:
    """A layer to unpack, and the name of the directory for it; `reserve_bytes` stay free on the disk."""

    def __init__(self, diff_id: str, directory: str, reserve_bytes: int) -> None:
        self.diff_id = diff_id
        self.directory = directory
        self.reserve_bytes = reserve_bytes

    def encode(self) -> bytes:
        """As a message."""
        return f"{self.diff_id} {self.directory} {self.reserve_bytes}".encode()

    @classmethod
    def parse(cls, message: bytes) -> "UnpackRequest":
        """From its message."""
        diff_id, directory, reserve_bytes = message.decode().split(" ")
        return cls(diff_id, directory, int(reserve_bytes))


class UnpackResult:
    """The result of unpacking a layer: the name of an error and its text; both empty: success."""

    def __init__(self, error: str, text: str) -> None:
        self.error = error
        self.text = text

    @classmethod
    def of(cls, error: ShoalError) -> "UnpackResult":
        """The result for an error."""
        return cls(type(error).__name__, str(error)[:_TEXT_LENGTH])

    def encode(self) -> bytes:
        """As a message."""
        return _RESULT + f"{self.error} {self.text}".encode(errors="replace")

    def raise_for_error(self) -> None:
        """Raises:
        ShoalError: the error, if any.
        """
        if self.error:
            raise _ERRORS.get(self.error, Unavailable)(self.text)


class ProcessExit:
    """How the process ended: its exit code, or the number of the signal that ended it, negative."""

    def __init__(self, code: int) -> None:
        self.code = code

    def encode(self) -> bytes:
        """As a message."""
        return _EXIT + str(self.code).encode()


def parse_reply(message: bytes) -> UnpackResult | ProcessExit:
    """From its message."""
    if message.startswith(_EXIT):
        return ProcessExit(int(message.removeprefix(_EXIT)))
    error, _, text = message.removeprefix(_RESULT).decode(errors="replace").partition(" ")
    return UnpackResult(error, text)
