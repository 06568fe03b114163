"""`key=value,key=value` where a value may be quoted as in CSV, as BuildKit's flags have it."""

from collections.abc import Sequence

from shoal.errors import InvalidInput


def csv_words(text: str) -> Sequence[str]:
    """The words between commas; quotes take a word with commas together.

    Raises:
        InvalidInput: a quote is not closed.
    """
    import csv

    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise InvalidInput(f"{text!r}: {error}") from None
    return rows[0] if rows else []


def csv_fields(text: str) -> dict[str, str]:
    """The pairs by key, keys in lower case; of a repeated key the last one.

    Raises:
        InvalidInput: a word is no pair.
    """
    fields: dict[str, str] = {}
    for word in csv_words(text):
        key, sign, value = word.partition("=")
        if not sign:
            raise InvalidInput(f"{text!r}: {word!r} must be in the form KEY=VALUE")
        fields[key.strip().lower()] = value
    return fields
