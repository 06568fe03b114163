"""Devices of the Container Device Interface (CDI) on this host, and their container edits.

Source: SPEC.md of cncf-tags/container-device-interface, versions 0.3.0 to 1.0.0. Specs are JSON or YAML; those of a
later directory take precedence, and a device that two specs of one directory define is ignored.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from agent.cdi.spec_document import CdiSpec, Edits, parse
from agent.safe_paths.regular_files import read_regular_file
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.cdi_names import ALL
from shoal.errors import InvalidInput

_log = logging.getLogger(__name__)

DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"))
MAX_SPEC_BYTES = 1 << 20
"""Bytes of a spec."""
MAX_SPECS = 100
"""In a directory."""
MAX_DEVICES = 1_000
"""Of a kind."""
MAX_NAMES = 10_000
"""Of all kinds together: the node description must fit into a message."""

_MAX_REASON = 300


class CdiRegistry:
    """All devices that the specs of some directories define."""

    def __init__(self, specs: Iterable[Sequence[CdiSpec]]) -> None:
        """`specs`: those of each directory, in ascending precedence."""
        self._known: dict[tuple[str, str], CdiSpec] = {}
        for of_directory in specs:
            found: dict[tuple[str, str], list[CdiSpec]] = defaultdict(list)
            for spec in of_directory:
                for name in spec.devices:
                    found[spec.kind, name].append(spec)
            for device, definitions in found.items():
                if len(definitions) > 1:
                    _log.warning("ignoring CDI device %s=%s: it is also defined in %s", *device, definitions[1].path)
                    self._known.pop(device, None)
                else:
                    self._known[device] = definitions[0]

    def resources(self) -> list[GenericResource]:
        """Kinds and names of devices that tasks may reserve."""
        kinds: dict[str, list[str]] = defaultdict(list)
        for kind, name in sorted(each for each in self._known if each[1] != ALL)[:MAX_NAMES]:
            kinds[kind].append(name)
        return [GenericResource(kind=kind, names=names[:MAX_DEVICES]) for kind, names in kinds.items()]

    def edits(self, devices: Iterable[tuple[str, str]]) -> Edits:
        """The container edits of these devices; edits of a whole spec are applied once.

        Raises:
            InvalidInput: an unknown device.
        """
        whole, specs = Edits(), dict[Path, None]()
        for kind, name in devices:
            spec = self._known.get((kind, name))
            if spec is None:
                raise InvalidInput(f"unknown CDI device {kind}={name}: no CDI spec on this node defines it")
            if spec.path not in specs:
                specs[spec.path] = None
                whole += spec.common
            whole += spec.devices[name]
        return whole


def read_specs(directories: Sequence[Path]) -> CdiRegistry:
    """Read all specs. Invalid ones are logged and ignored."""
    return CdiRegistry([list(_specs_in(directory)) for directory in directories])


def _specs_in(directory: Path) -> Iterator[CdiSpec]:
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix in (".json", ".yaml", ".yml"))
    except FileNotFoundError:
        return
    except OSError as error:
        _log.warning("cannot read the CDI specs in %s: %s", directory, error.strerror)
        return
    if len(paths) > MAX_SPECS:
        _log.warning("%s has %d CDI specs; only the first %d are read", directory, len(paths), MAX_SPECS)
    for path in paths[:MAX_SPECS]:
        try:
            yield parse(path, _document(path))
        except OSError as error:
            _log.warning("ignoring CDI spec %s: %s", path, error.strerror)
        except RecursionError:
            _log.warning("ignoring CDI spec %s: nested too deeply", path)
        except (ValueError, yaml.YAMLError, InvalidInput) as error:
            _log.warning("ignoring CDI spec %s: %s", path, " ".join(str(error).split())[:_MAX_REASON])


def _document(path: Path) -> Any:
    text = read_regular_file(path, max_bytes=MAX_SPEC_BYTES).decode()
    if path.suffix == ".json":
        return json.loads(text)
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    except (LookupError, AttributeError) as error:  # raised by PyYAML if a value does not match its tag
        raise InvalidInput("a YAML value does not match its tag") from error


class _Loader(yaml.SafeLoader):
    """Rejects aliases, which no spec needs: a few lines of them can expand to more than fits into memory."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise InvalidInput("YAML aliases are not supported")
        return super().compose_node(parent, index)
