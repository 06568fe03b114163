"""Validation of repeatable options with unique names. Pure."""

from collections.abc import Callable, Iterable, Iterator

from shoal.errors import Fault, InvalidInput


def faults_of_each(flag: str, texts: Iterable[str], name_of: Callable[[str], str]) -> Iterator[Fault]:
    """What is wrong with them, each name having to be there once.

    Args:
        name_of: reads one and gives its name; raises InvalidInput.
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
