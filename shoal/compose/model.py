"""Build one model from files: interpolate, resolve `extends` and `include`, merge, apply profiles, validate.

The order is the specification's: each file is interpolated by itself, extended services are merged within their file,
then the files are merged, then what they include is added.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shoal.compose import schema_check
from shoal.compose.conversion.external_resources import external_faults
from shoal.compose.faults import FaultLog, FaultReporter
from shoal.compose.merging.absolute_paths import make_paths_absolute, make_service_paths_absolute
from shoal.compose.merging.merge import merge, resolve_tags
from shoal.compose.merging.profiles import apply_profiles
from shoal.compose.merging.type_casts import cast_strings
from shoal.compose.reading.env_file import read_env_file
from shoal.compose.reading.file_reader import FileReader
from shoal.compose.reading.interpolation import TrackedVariables, interpolate
from shoal.compose.reading.yaml_document import YamlDocument, read_document
from shoal.compose.reading.yaml_tree import Override, Reset, YamlMap, item_location, to_plain, untagged
from shoal.errors import InvalidInput

MAX_FILES = 200
"""Files that one model may be made of."""
SECTIONS = ("services", "networks", "volumes", "secrets", "configs", "models")

_REMOTE = ("oci:", "git@", "git:", "ssh:", "http:", "https:", "github.com/")


@dataclass(frozen=True)
class Model:
    """The files' merged content.

    Attributes:
        tree: by the schema.
        variables: for names without a value in `environment`.
        directory: that relative paths begin at.
        files: where the files that it names come from.
    """

    tree: YamlMap
    variables: Mapping[str, str]
    directory: Path
    report: FaultReporter
    files: FileReader


@dataclass(frozen=True)
class _Origin:
    """Where a file's relative paths begin, what its variables are, and which files included it."""

    directory: Path
    variables: Mapping[str, str]
    above: tuple[Path, ...] = ()


class ModelLoader:
    """Loads one model.

    Args:
        faults: collects what is wrong, so that all of it is reported at once.
        files: where included and extended files and environment files come from.
    """

    def __init__(self, faults: FaultLog, files: FileReader) -> None:
        self._faults = faults
        self._reader = files
        self._files = 0
        self._inherited: dict[str, str] = {}

    def load(
        self,
        documents: Sequence[YamlDocument],
        variables: Mapping[str, str],
        directory: Path,
        *,
        profiles: Collection[str] = (),
    ) -> Model:
        """The model of files that are merged in the order given; what is wrong with it is in the faults.

        Raises:
            InvalidInput: there are too many files.
        """
        faults = self._faults
        tree = cast_strings(self._tree(documents, _Origin(self._reader.resolve(directory), variables)))
        faults.next_stage()
        report = FaultReporter(faults, tree, documents[-1].name)
        for path, message in schema_check.schema_faults(tree):
            report.add(path, message)
        faults.next_stage()
        tree = apply_profiles(tree, profiles, report)
        faults.next_stage()
        for path, message in schema_check.ignored_keys(tree):
            report.warn(path, message)
        report = FaultReporter(faults, tree, documents[-1].name)
        for path, message in (*schema_check.unsupported_keys(tree), *external_faults(tree)):
            report.add(path, message)
        return Model(tree, {**self._inherited, **variables}, directory, report, self._reader)

    def _tree(self, documents: Sequence[YamlDocument], origin: _Origin) -> YamlMap:
        merged = YamlMap({}, {})
        included: list[tuple[Any, FaultReporter]] = []
        for document in documents:
            tree, report = self._interpolated(document, origin)
            included.append((tree.get("include"), report))
            tree = self._extended(tree, report, origin, document)
            merged = merge(merged, tree.without("include"))
        for marked, report in included:
            entries = untagged(marked)
            for index, entry in enumerate(entries if isinstance(entries, list) else []):
                merged = self._include(merged, entry, index, report, origin)
        return merged

    def _interpolated(self, document: YamlDocument, origin: _Origin) -> tuple[YamlMap, FaultReporter]:
        self._files += 1
        if self._files > MAX_FILES:
            raise InvalidInput(f"{document.name}: too many files are included or extended; the maximum is {MAX_FILES}")
        report = FaultReporter(self._faults, document.value, document.name)
        noted = TrackedVariables(origin.variables)
        tree = interpolate(document.value, noted, report.add)
        for name in noted.unset:
            self._faults.warnings.append(f"{document.name}: variable {name} is not set; using an empty string")
        return tree, report

    def _read(
        self, text: str, origin: _Origin, report: FaultReporter, path: tuple[str | int, ...]
    ) -> YamlDocument | None:
        """Another file; None when it cannot be had, which is a fault at the path."""
        if text.startswith(_REMOTE):
            report.add(path, f"{text!r}: remote files are not supported; download it and specify the local file")
            return None
        file = self._reader.resolve(origin.directory / text)
        try:
            return read_document(file, self._reader)
        except InvalidInput as error:
            for fault in error.faults:
                report.add(path, str(fault))
            return None

    # extends

    def _extended(self, tree: YamlMap, report: FaultReporter, origin: _Origin, document: YamlDocument) -> YamlMap:
        marked = tree.get("services")
        services = untagged(marked)
        if not isinstance(services, YamlMap):
            return tree
        here = _ExtendsContext(tree.with_item("services", services), report, origin, document.name)
        for name, body in services.items():
            if isinstance(untagged(body), YamlMap) and "extends" in untagged(body):
                flat = self._resolve_extends(here, name, ())
                services = services.with_item(name, Override(flat) if isinstance(body, Override) else flat)
        return tree.with_item("services", Override(services) if isinstance(marked, Override) else services)

    def _resolve_extends(self, here: "_ExtendsContext", name: str, chain: tuple[str, ...]) -> YamlMap:
        """A service with what it extends merged below it."""
        body: YamlMap = untagged(here.tree["services"][name])
        extended = body.get("extends")
        path = ("services", name, "extends")
        own: YamlMap = resolve_tags(body.without("extends"))
        label = f"{here.name}#{name}"
        if label in chain:
            here.report.add(path, f"extends cycle: {' → '.join([*chain, label])}")
            return own
        if extended is None or isinstance(extended, Reset):
            return own
        extended = untagged(extended)
        base = self._extends_base(here, extended, path, (*chain, label))
        if base is None:
            return own
        if _is_disabled(own) and "healthcheck" in base and not _is_disabled(base):
            here.report.add(
                ("services", name, "healthcheck", "disable"), "conflicts with the health check of the extended service"
            )
        return merge(base, body.without("extends"), ("services", name))

    def _extends_base(
        self, here: "_ExtendsContext", extended: Any, path: tuple[str | int, ...], chain: tuple[str, ...]
    ) -> YamlMap | None:
        fields = extended if isinstance(extended, dict) else {"service": extended}
        unknown = sorted(set(fields) - {"service", "file"})
        if not isinstance(fields.get("service"), str) or unknown:
            here.report.add(path, "must have service, and optionally file")
            return None
        there, name = here, str(fields["service"])
        if fields.get("file") is not None:
            document = self._read(str(fields["file"]), here.origin, here.report, path)
            if document is None:
                return None
            origin = replace(here.origin, directory=Path(document.name).parent)
            tree, report = self._interpolated(document, origin)
            there = _ExtendsContext(tree, report, origin, document.name)
        services = untagged(there.tree.get("services"))
        if not isinstance(services, YamlMap) or not isinstance(untagged(services.get(name)), YamlMap):
            here.report.add(path, f"service {name!r} not found in {there.name}")
            return None
        base = self._resolve_extends(there, name, chain)
        return make_service_paths_absolute(base, there.origin.directory) if there is not here else base

    # include

    def _include(self, tree: YamlMap, entry: Any, index: int, report: FaultReporter, origin: _Origin) -> YamlMap:
        """The tree with one entry of `include` added."""
        path = ("include", index)
        fields = entry if isinstance(entry, dict) else {"path": entry}
        names = fields["path"] if isinstance(fields.get("path"), list) else [fields.get("path")]
        unknown = sorted(set(fields) - {"path", "project_directory", "env_file"})
        if unknown or not names or not all(isinstance(name, str) for name in names):
            report.add(path, "must be a path, or a mapping with path, project_directory and env_file")
            return tree
        documents = [self._read(str(name), origin, report, path) for name in names]
        found = [document for document in documents if document is not None]
        if len(found) < len(documents):
            return tree
        files = tuple(Path(document.name) for document in found)
        if again := [file for file in files if file in origin.above]:
            report.add(path, f"include cycle: {' → '.join(map(str, [*origin.above, again[0]]))}")
            return tree
        below = self._origin(fields, files, origin, report, path)
        return self._merge_included(tree, make_paths_absolute(self._tree(found, below), below.directory), report, path)

    def _origin(
        self,
        fields: Mapping[str, Any],
        files: tuple[Path, ...],
        origin: _Origin,
        report: FaultReporter,
        path: tuple[str | int, ...],
    ) -> _Origin:
        given = fields.get("project_directory")
        directory = self._reader.resolve(origin.directory / str(given)) if given is not None else files[0].parent
        named = fields.get("env_file")
        paths = named if isinstance(named, list) else [named] if named is not None else []
        variables: dict[str, str] = {}
        try:
            for file in paths or [directory / ".env"]:
                path_of_file = origin.directory / str(file)
                values = read_env_file(path_of_file, origin.variables, self._reader, required=bool(paths))
                variables |= {name: text for name, text in values.items() if text is not None}
        except InvalidInput as error:
            report.add(path, str(error))
        self._inherited |= variables
        return _Origin(directory, {**variables, **origin.variables}, (*origin.above, *files))

    def _merge_included(
        self, tree: YamlMap, more: YamlMap, report: FaultReporter, path: tuple[str | int, ...]
    ) -> YamlMap:
        for section in SECTIONS:
            known, coming = tree.get(section), more.get(section)
            if not isinstance(coming, YamlMap):
                continue
            known = known if isinstance(known, YamlMap) else YamlMap({}, {}, coming.location)
            for name, body in coming.items():
                if name in known and to_plain(known[name]) != to_plain(body):
                    at = item_location(coming, name)
                    report.add(path, f"{section}.{name} conflicts with its definition in {at}")
                elif name not in known:
                    known = known.with_item(name, body, item_location(coming, name))
            tree = tree.with_item(section, known)
        return tree


@dataclass(frozen=True)
class _ExtendsContext:
    """A file whose services are extended."""

    tree: YamlMap
    report: FaultReporter
    origin: _Origin
    name: str


def _is_disabled(service: YamlMap) -> bool:
    settings = service.get("healthcheck")
    return isinstance(settings, YamlMap) and str(settings.get("disable")).lower() == "true"
