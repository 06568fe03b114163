"""Devices by the Container Device Interface: what this host's specs name, and what a container gets with each.

Source: SPEC.md of cncf-tags/container-device-interface, versions 0.3.0 to 1.0.0. Specs are JSON or YAML; those of a
later directory win, and a device that two specs of one directory name is nobody's.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from agent.beneath.regular import read_regular_file
from agent.cdi_document import CdiSpec, Edits, parse
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.cdi_names import ALL
from shoal.errors import InvalidInput

_log = logging.getLogger(__name__)

DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"))
LARGEST = 1 << 20
"""Bytes of a spec."""
MOST_SPECS = 100
"""In a directory."""
MOST_DEVICES = 1_000
"""Of a kind."""
MOST_NAMES = 10_000
"""Of all kinds together: what is told to managers has to fit in a message."""

_MOST_SAID = 300


class Registry:
    """All devices that the specs of some directories name."""

    def __init__(self, specs: Iterable[Sequence[CdiSpec]]) -> None:
        """`specs` are those of each directory, the least important first."""
        self._known: dict[tuple[str, str], CdiSpec] = {}
        for of_directory in specs:
            found: dict[tuple[str, str], list[CdiSpec]] = defaultdict(list)
            for spec in of_directory:
                for name in spec.devices:
                    found[spec.kind, name].append(spec)
            for device, claims in found.items():
                if len(claims) > 1:
                    _log.warning("CDI device %s=%s is in %s too, and so in none", *device, claims[1].path)
                    self._known.pop(device, None)
                else:
                    self._known[device] = claims[0]

    def resources(self) -> list[GenericResource]:
        """The kinds and the names of devices that tasks may have to themselves."""
        kinds: dict[str, list[str]] = defaultdict(list)
        for kind, name in sorted(each for each in self._known if each[1] != ALL)[:MOST_NAMES]:
            kinds[kind].append(name)
        return [GenericResource(kind=kind, names=names[:MOST_DEVICES]) for kind, names in kinds.items()]

    def edits(self, devices: Iterable[tuple[str, str]]) -> Edits:
        """What a container with these devices gets, what they have in common once.

        Raises:
            InvalidInput: one that no spec names.
        """
        whole, specs = Edits(), dict[Path, None]()
        for kind, name in devices:
            spec = self._known.get((kind, name))
            if spec is None:
                raise InvalidInput(f"no CDI spec of this host names the device {kind}={name}")
            if spec.path not in specs:
                specs[spec.path] = None
                whole += spec.common
            whole += spec.devices[name]
        return whole


def read(directories: Sequence[Path]) -> Registry:
    """Read all specs. One that cannot be understood is told of in the log, and left out; the others count."""
    return Registry([list(_specs_in(directory)) for directory in directories])


def _specs_in(directory: Path) -> Iterator[CdiSpec]:
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix in (".json", ".yaml", ".yml"))
    except FileNotFoundError:
        return
    except OSError as error:
        _log.warning("the CDI specs in %s cannot be read: %s", directory, error.strerror)
        return
    if len(paths) > MOST_SPECS:
        _log.warning("%s has %d CDI specs; the first %d count", directory, len(paths), MOST_SPECS)
    for path in paths[:MOST_SPECS]:
        try:
            yield parse(path, _document(path))
        except OSError as error:
            _log.warning("the CDI spec %s is left out: %s", path, error.strerror)
        except RecursionError:
            _log.warning("the CDI spec %s is left out: it is nested too deeply", path)
        except (ValueError, yaml.YAMLError, InvalidInput) as error:
            _log.warning("the CDI spec %s is left out: %s", path, " ".join(str(error).split())[:_MOST_SAID])


def _document(path: Path) -> Any:
    text = read_regular_file(path, most_bytes=LARGEST).decode()
    if path.suffix == ".json":
        return json.loads(text)
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # it is a safe one
    except (LookupError, AttributeError) as error:  # what PyYAML lets through where a tag does not fit its value
        raise InvalidInput("a value is not what its tag says") from error


class _Loader(yaml.SafeLoader):
    """Without aliases, which no spec needs: a few lines of them stand for more than a memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise InvalidInput("aliases of YAML are not taken")
        return super().compose_node(parent, index)
