"""From files to one model: read, interpolated, `extends` and `include` followed, merged, profiles chosen, checked.

The order is the specification's: each file is interpolated by itself, extended services are merged within their file,
then the files are merged, then what they include is added.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cli.compose import check
from cli.compose.anchor import anchor, anchor_service
from cli.compose.casts import cast
from cli.compose.document import Document, read
from cli.compose.env_file import env_file
from cli.compose.external import external_faults
from cli.compose.faults import Faults, Report
from cli.compose.interpolate import Noted, interpolate
from cli.compose.merge import merge, settled
from cli.compose.profiles import chosen
from cli.compose.tree import Map, Override, Reset, place_of, plain, plainly
from shoal.errors import InvalidInput

MAX_FILES = 200
"""Files that one model may be made of."""
SECTIONS = ("services", "networks", "volumes", "secrets", "configs", "models")

_REMOTE = ("oci:", "git@", "git:", "ssh:", "http:", "https:", "github.com/")


@dataclass(frozen=True)
class Model:
    """What the files say together.

    Attributes:
        tree: by the schema.
        variables: for names without a value in `environment`.
        directory: that relative paths begin at.
    """

    tree: Map
    variables: Mapping[str, str]
    directory: Path
    report: Report


@dataclass(frozen=True)
class _Origin:
    """Where a file's relative paths begin, what its variables are, and which files led to it."""

    directory: Path
    variables: Mapping[str, str]
    above: tuple[Path, ...] = ()


class Loader:
    """Loads one model.

    Args:
        faults: takes what is wrong, so that all of it is told at once.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._files = 0
        self._inherited: dict[str, str] = {}

    def load(
        self,
        documents: Sequence[Document],
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
        tree = cast(self._tree(documents, _Origin(directory.resolve(), variables)))
        faults.next_stage()
        report = Report(faults, tree, documents[-1].name)
        for path, message in check.schema_faults(tree):
            report.add(path, message)
        faults.next_stage()
        tree = chosen(tree, profiles, report)
        faults.next_stage()
        for path, message in check.without_effect(tree):
            report.warn(path, message)
        report = Report(faults, tree, documents[-1].name)
        for path, message in (*check.unsupported(tree), *external_faults(tree)):
            report.add(path, message)
        return Model(tree, {**self._inherited, **variables}, directory, report)

    def _tree(self, documents: Sequence[Document], origin: _Origin) -> Map:
        merged = Map({}, {})
        included: list[tuple[Any, Report]] = []
        for document in documents:
            tree, report = self._interpolated(document, origin)
            included.append((tree.get("include"), report))
            tree = self._extended(tree, report, origin, document)
            merged = merge(merged, tree.without("include"))
        for marked, report in included:
            entries = plainly(marked)
            for index, entry in enumerate(entries if isinstance(entries, list) else []):
                merged = self._with(merged, entry, index, report, origin)
        return merged

    def _interpolated(self, document: Document, origin: _Origin) -> tuple[Map, Report]:
        self._files += 1
        if self._files > MAX_FILES:
            raise InvalidInput(f"{document.name}: more than {MAX_FILES} files are included or extended")
        report = Report(self._faults, document.value, document.name)
        noted = Noted(origin.variables)
        tree = interpolate(document.value, noted, report.add)
        for name in noted.unset:
            self._faults.warnings.append(f"{document.name}: variable {name} is not set, and counts as empty")
        return tree, report

    def _read(self, text: str, origin: _Origin, report: Report, path: tuple[str | int, ...]) -> Document | None:
        """Another file; None when it cannot be had, which is a fault at the path."""
        if text.startswith(_REMOTE):
            report.add(path, f"{text!r}: only files of this machine can be used; fetch it and name the copy")
            return None
        file = (origin.directory / text).resolve()
        try:
            return read(file)
        except InvalidInput as error:
            for fault in error.faults:
                report.add(path, str(fault))
            return None

    # extends

    def _extended(self, tree: Map, report: Report, origin: _Origin, document: Document) -> Map:
        marked = tree.get("services")
        services = plainly(marked)
        if not isinstance(services, Map):
            return tree
        here = _Extending(tree.having("services", services), report, origin, document.name)
        for name, body in services.items():
            if isinstance(plainly(body), Map) and "extends" in plainly(body):
                flat = self._flat(here, name, ())
                services = services.having(name, Override(flat) if isinstance(body, Override) else flat)
        return tree.having("services", Override(services) if isinstance(marked, Override) else services)

    def _flat(self, here: "_Extending", name: str, chain: tuple[str, ...]) -> Map:
        """A service with what it extends merged below it."""
        body: Map = plainly(here.tree["services"][name])
        wanted = body.get("extends")
        path = ("services", name, "extends")
        own: Map = settled(body.without("extends"))
        label = f"{here.name}#{name}"
        if label in chain:
            here.report.add(path, f"extends cycle: {' → '.join([*chain, label])}")
            return own
        if wanted is None or isinstance(wanted, Reset):
            return own
        wanted = plainly(wanted)
        base = self._base(here, wanted, path, (*chain, label))
        if base is None:
            return own
        if _is_disabled(own) and "healthcheck" in base and not _is_disabled(base):
            here.report.add(("services", name, "healthcheck", "disable"), "the service that is extended has a check")
        return merge(base, body.without("extends"), ("services", name))

    def _base(self, here: "_Extending", wanted: Any, path: tuple[str | int, ...], chain: tuple[str, ...]) -> Map | None:
        fields = wanted if isinstance(wanted, dict) else {"service": wanted}
        unknown = sorted(set(fields) - {"service", "file"})
        if not isinstance(fields.get("service"), str) or unknown:
            here.report.add(path, "extends takes a service, and perhaps the file that it is in")
            return None
        there, name = here, str(fields["service"])
        if fields.get("file") is not None:
            document = self._read(str(fields["file"]), here.origin, here.report, path)
            if document is None:
                return None
            origin = replace(here.origin, directory=Path(document.name).parent)
            tree, report = self._interpolated(document, origin)
            there = _Extending(tree, report, origin, document.name)
        services = plainly(there.tree.get("services"))
        if not isinstance(services, Map) or not isinstance(plainly(services.get(name)), Map):
            here.report.add(path, f"there is no service {name!r} in {there.name}")
            return None
        base = self._flat(there, name, chain)
        return anchor_service(base, there.origin.directory) if there is not here else base

    # include

    def _with(self, tree: Map, entry: Any, index: int, report: Report, origin: _Origin) -> Map:
        """The tree with one entry of `include` added."""
        path = ("include", index)
        fields = entry if isinstance(entry, dict) else {"path": entry}
        names = fields["path"] if isinstance(fields.get("path"), list) else [fields.get("path")]
        unknown = sorted(set(fields) - {"path", "project_directory", "env_file"})
        if unknown or not names or not all(isinstance(name, str) for name in names):
            report.add(path, "include takes a path, or a mapping of path, project_directory and env_file")
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
        return self._joined(tree, anchor(self._tree(found, below), below.directory), report, path)

    def _origin(
        self,
        fields: Mapping[str, Any],
        files: tuple[Path, ...],
        origin: _Origin,
        report: Report,
        path: tuple[str | int, ...],
    ) -> _Origin:
        given = fields.get("project_directory")
        directory = (origin.directory / str(given)).resolve() if given is not None else files[0].parent
        named = fields.get("env_file")
        paths = named if isinstance(named, list) else [named] if named is not None else []
        variables: dict[str, str] = {}
        try:
            for file in paths or [directory / ".env"]:
                values = env_file(origin.directory / str(file), origin.variables, required=bool(paths))
                variables |= {name: text for name, text in values.items() if text is not None}
        except InvalidInput as error:
            report.add(path, str(error))
        self._inherited |= variables
        return _Origin(directory, {**variables, **origin.variables}, (*origin.above, *files))

    def _joined(self, tree: Map, more: Map, report: Report, path: tuple[str | int, ...]) -> Map:
        for section in SECTIONS:
            known, coming = tree.get(section), more.get(section)
            if not isinstance(coming, Map):
                continue
            known = known if isinstance(known, Map) else Map({}, {}, coming.place)
            for name, body in coming.items():
                if name in known and plain(known[name]) != plain(body):
                    at = place_of(coming, name)
                    report.add(path, f"{section}.{name} is there already, and {at} says something else")
                elif name not in known:
                    known = known.having(name, body, place_of(coming, name))
            tree = tree.having(section, known)
        return tree


@dataclass(frozen=True)
class _Extending:
    """A file whose services are extended."""

    tree: Map
    report: Report
    origin: _Origin
    name: str


def _is_disabled(service: Map) -> bool:
    settings = service.get("healthcheck")
    return isinstance(settings, Map) and str(settings.get("disable")).lower() == "true"
