"""Validation of repeatable options with unique names. Pure."""

from collections.abc import Callable, Iterable, Iterator

from shoal.errors import Fault, InvalidInput


def faults_of_each(flag: str, texts: Iterable[str], name_of: Callable[[str], str]) -> Iterator[Fault]:
    """Errors of these options; each name may be given once.

    Args:
        name_of: parses one and returns its name; raises InvalidInput.
    """
    names: set[str] = set()
    for text in texts:
        try:
            name = name_of(text)
        except InvalidInput as error:
            yield Fault(flag, str(error))
            continue
        if name in names:
            yield Fault(flag, f"{name!r} is given more than once")
        names.add(name)
