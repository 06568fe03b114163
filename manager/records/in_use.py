"""Why an object that others use cannot be removed. Pure."""

from collections.abc import Sequence

from manager.validation.text_rules import join_names


def in_use(object_type: str, name: str, users: Sequence[str]) -> str:
    """One line for the user.

    Args:
        object_type: as users know it: "network", "volume", "secret".
        users: names of the services that use it, or `volume NAME`.
    """
    return f'{object_type} "{name}" is in use by {join_names(users)}; remove or update them first'
