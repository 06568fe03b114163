"""Text from elsewhere as one line for people: errors of drivers and containers, output of programs, refusals."""


def one_line(text: str, limit: int = 500) -> str:
    """The text with every run of white space as one blank, without characters that could move a terminal's cursor.

    Undecodable bytes of file names get question marks; what exceeds `limit` characters is cut, and ends with " …".
    """
    whole = text[: 8 * limit].encode(errors="replace").decode()
    line = " ".join((whole if whole.isprintable() else "".join(map(_printable, whole))).split())
    return line if len(line) <= limit and len(text) <= 8 * limit else line[: limit - 2].rstrip() + " …"


def _printable(character: str) -> str:
    return character if character.isprintable() else " "
