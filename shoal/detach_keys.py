"""Detach keys in Docker's notation ("ctrl-p,ctrl-q"). Pure."""

from shoal.errors import Fault, InvalidInput

DEFAULT = "ctrl-p,ctrl-q"

_CONTROL_CHARACTERS = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_keys(text: str) -> bytes:
    """The bytes of a sequence: single characters, or `ctrl-` with a letter or one of @ [ \\ ] ^ _.

    Raises:
        InvalidInput: it is none.
    """
    return bytes(_key(word, text) for word in text.split(","))


def _key(word: str, text: str) -> int:
    _, control, sign = word.rpartition("ctrl-")
    if control and word.startswith("ctrl-") and len(sign) == 1:
        if sign.isascii() and sign.isalpha():
            return ord(sign.lower()) - ord("a") + 1
        if sign in _CONTROL_CHARACTERS:
            return _CONTROL_CHARACTERS[sign]
    elif len(word) == 1 and word.isascii():
        return ord(word)
    raise InvalidInput(
        [Fault("--detach-keys", f"{text!r} must be a comma-separated key sequence such as ctrl-p,ctrl-q")]
    )


class DetachKeyScanner:
    """Finds the sequence in the input; a possible beginning is held back until the next key."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def filter(self, typed: bytes) -> tuple[bytes, bool]:
        """What is for the program, and whether the sequence was typed; what comes after it is dropped."""
        text = self._held + typed
        if self._keys and self._keys in text:
            return text[: text.index(self._keys)], True
        kept = next(size for size in range(len(self._keys), -1, -1) if text.endswith(self._keys[:size]))
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept], False
