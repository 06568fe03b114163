"""Instructions of a Dockerfile that change a configuration (`--change` of `import` and `commit`). Pure.

Dockerfile reference; those of moby's `BuildFromConfig`, which `docker commit --change` uses. Variables in them stay as
they are written.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shoal.dockerfile.expansion import Expander
from shoal.dockerfile.image_settings import Settings, apply_setting, copy_settings
from shoal.dockerfile.instruction_parsers import parse_instruction
from shoal.dockerfile.lines import LogicalLine, split_instruction
from shoal.dockerfile.source import Location
from shoal.errors import Fault, InvalidInput

_ESCAPE = "\\"
_INSTRUCTIONS = (
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)


def apply_changes(settings: Mapping[str, Any], changes: Sequence[str]) -> Settings:
    """The settings with all changes, in their order; `settings` stays as it is.

    Raises:
        InvalidInput: with every fault.
    """
    changed = copy_settings(settings)
    faults = []
    for number, change in enumerate(changes, 1):
        try:
            _apply(changed, change, Location(number, number))
        except InvalidInput as error:
            faults.append(Fault("--change", str(error)))
    if faults:
        raise InvalidInput(faults)
    return changed


def _apply(settings: Settings, change: str, location: Location) -> None:
    name = split_instruction(change)[0].upper()
    if name not in _INSTRUCTIONS:
        text = f"unknown or unsupported instruction {name[:40]!r}; use one of {', '.join(_INSTRUCTIONS)}"
        raise InvalidInput(text)
    try:
        instruction = parse_instruction(LogicalLine(change.strip(), location), _ESCAPE)
        apply_setting(settings, instruction, Expander({}, _ESCAPE, keep_unset=True))
    except InvalidInput as error:
        text = str(error)
        raise InvalidInput(text if text.startswith(name) else f"{name}: {text}") from error
