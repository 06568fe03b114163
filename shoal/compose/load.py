"""Entry point: from files, variables and profiles to the specs of a stack."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shoal.compose.faults import FaultLog
from shoal.compose.model import Model, ModelLoader
from shoal.compose.project import StackSpecs, convert_model
from shoal.compose.reading.env_file import read_env_file
from shoal.compose.reading.file_reader import FileReader, LocalFiles, ProjectFiles
from shoal.compose.reading.interpolation import substitute
from shoal.compose.reading.yaml_document import YamlDocument, read_document
from shoal.compose.stack_names import StackNames
from shoal.errors import Fault, InvalidInput

STDIN = Path("/dev/stdin")
LOCAL_FILES = LocalFiles()
NO_FILES = ProjectFiles()


@dataclass(frozen=True)
class LoadedStack:
    """A stack as its files define it.

    Attributes:
        names: its name, and those of its resources.
        model: for `stack config`.
        project: the specs, as far as there are no faults.
    """

    names: StackNames
    model: Model
    project: StackSpecs
    faults: FaultLog

    def checked(self) -> Self:
        """Itself. Raises InvalidInput with every fault, each with file, line and column, when there are any."""
        self.faults.raise_faults()
        return self


def load_documents(
    stack: str,
    documents: Sequence[YamlDocument],
    variables: Mapping[str, str],
    directory: Path,
    *,
    profiles: Collection[str] = (),
    files: FileReader = NO_FILES,
) -> LoadedStack:
    """Load documents that are at hand. Nothing is read but through `files`.

    Args:
        stack: its name.
        documents: in the order given; a later one is merged over an earlier one.
        variables: for interpolation.
        directory: that relative paths begin at.
        profiles: those that are enabled.
        files: where the files that they name come from; none by default.
    Raises:
        InvalidInput: there are too many files.
    """
    names, faults = StackNames(stack), FaultLog()
    model = ModelLoader(faults, files).load(documents, variables, directory, profiles=profiles)
    return LoadedStack(names, model, convert_model(names, model, faults), faults)


def load_files(
    stack: str | None,
    paths: Sequence[Path],
    variables: Mapping[str, str],
    *,
    profiles: Collection[str] = (),
    env_files: Sequence[Path] = (),
    files: FileReader = LOCAL_FILES,
) -> LoadedStack:
    """Read the files and load them, whatever is wrong with them: faults are collected with those of the content.

    Args:
        stack: None takes the files' `name`, else COMPOSE_PROJECT_NAME.
        paths: relative paths in them begin at the first one's directory; for standard input, at the current one.
        variables: of the caller's environment. What is not in it comes from `env_files`, else from `.env` in that
            directory. COMPOSE_PROFILES adds profiles.
        files: where the files, and those that they name, come from.
    Raises:
        InvalidInput: files that cannot be read at all, every one of them.
    """
    documents = _read_documents(paths, files)
    directory = Path.cwd() if paths[0] == STDIN else files.resolve(paths[0]).parent
    known = {**_default_variables(directory, variables, env_files, files), **variables}
    name = stack or _stack_name(documents, known)
    known["COMPOSE_PROJECT_NAME"] = name
    enabled = {*profiles, *filter(None, known.get("COMPOSE_PROFILES", "").split(","))}
    return load_documents(name, documents, known, directory, profiles=enabled, files=files)


def _read_documents(paths: Sequence[Path], files: FileReader) -> list[YamlDocument]:
    documents: list[YamlDocument] = []
    faults: list[Fault] = []
    for path in paths:
        try:
            documents.append(read_document(path, files))
        except InvalidInput as error:
            faults += error.faults
    if faults:
        raise InvalidInput(faults)
    return documents


def _default_variables(
    directory: Path, variables: Mapping[str, str], env_files: Sequence[Path], files: FileReader
) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in env_files or [directory / ".env"]:
        values = read_env_file(path, variables, files, required=bool(env_files))
        found |= {name: text for name, text in values.items() if text is not None}
    return found


def _stack_name(documents: Sequence[YamlDocument], variables: Mapping[str, str]) -> str:
    for document in reversed(documents):
        if isinstance(name := document.value.get("name"), str):
            return substitute(name, variables)
    if name := variables.get("COMPOSE_PROJECT_NAME"):
        return name
    raise InvalidInput("no stack name; specify STACK or set `name:` in the Compose file")
