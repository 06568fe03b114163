"""Create, select, list and remove the contexts of a user.

<directory>/current                       the name of the current context
<directory>/contexts/<name>/context.toml  addresses
<directory>/contexts/<name>/*.pem         the identity
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.contexts import context_file
from shoal.contexts.context_file import Context
from shoal.errors import AlreadyExists, InvalidInput, NotFound, Refused, Unavailable
from shoal.identity.identity import Identity
from shoal.identity.private_files import make_private_directory, write_atomically
from shoal.rpc.host_port import parse as parse_address


@dataclass(frozen=True)
class ContextStore:
    """All contexts of one user.

    Attributes:
        directory: of the command line's own files, `default_directory(os.environ)`.
    """

    directory: Path

    def list(self) -> list[Context]:
        """All of them, by name.

        Raises:
            InvalidInput: the settings of one are damaged; the text names the file.
        """
        if not self._root.is_dir():
            return []
        names = sorted(entry.name for entry in self._root.iterdir() if not entry.name.startswith("."))
        return [self.get(name) for name in names]

    def get(self, name: str) -> Context:
        """One of them.

        Raises:
            NotFound: there is none of that name; InvalidInput: its settings are damaged.
        """
        return context_file.read_context(self._root / context_file.check_name(name))

    def current_name(self) -> str | None:
        """The name of the current context, whether it still exists or not."""
        try:
            return (self.directory / "current").read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"cannot read {self.directory / 'current'}: {error.strerror}") from error

    def resolve(self, option: str | None, environment: Mapping[str, str]) -> Context:
        """The one to use: named by the option, else by SHOAL_CONTEXT, else the current one, else the only one.

        Raises:
            NotFound: there is none, or several and none is current.
        """
        name = option or environment.get("SHOAL_CONTEXT") or self.current_name()
        if name:
            return self.get(name)
        known = self.list()
        if len(known) == 1:
            return known[0]
        if not known:
            raise NotFound(
                "no context found; create one with `shoal context create` from the admin credentials of a manager"
            )
        raise NotFound(
            f"no current context; choose one of {', '.join(c.name for c in known)} with `shoal context use NAME`"
        )

    def use(self, name: str) -> None:
        """Make one the current context.

        Raises:
            NotFound: there is none of that name.
        """
        self.get(name)
        _write(self.directory / "current", f"{name}\n".encode())

    def create(
        self, name: str, identity: Identity, addresses: Sequence[str], *, registries: Path | None = None
    ) -> Context:
        """Create one, completely or not at all. The first becomes the current one.

        Args:
            identity: `Identity.load` of the admin directory that a manager wrote, or of single files.
        Raises:
            InvalidInput: the name or an address is not valid, or there is no address.
            AlreadyExists: the name is taken.
        """
        place = self._root / context_file.check_name(name)
        if not addresses:
            raise InvalidInput("at least one manager address is required")
        for address in addresses:
            parse_address(address)
        if place.exists():
            raise AlreadyExists(f"context {name!r} already exists; remove it or choose another name")
        self._create_directory(place, identity, addresses, registries)
        if self.current_name() is None:
            self.use(name)
        return self.get(name)

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove one with its identity.

        Raises:
            NotFound: there is none of that name.
            Refused: it is the current one, and not forced.
        """
        import shutil

        place = self._root / context_file.check_name(name)
        if not place.is_dir():
            raise NotFound(f"context {name!r} not found; list contexts with `shoal context ls`")
        if self.current_name() == name:
            if not force:
                raise Refused(f"{name!r} is the current context; switch with `shoal context use` or add --force")
            (self.directory / "current").unlink(missing_ok=True)
        shutil.rmtree(place)

    def _create_directory(
        self, place: Path, identity: Identity, addresses: Sequence[str], registries: Path | None
    ) -> None:
        import shutil
        import tempfile

        try:
            make_private_directory(self.directory)
            make_private_directory(self._root)
            draft = Path(tempfile.mkdtemp(prefix=".new-", dir=self._root))
            try:
                identity.save(draft)
                context_file.write_settings(draft, addresses, registries)
                draft.rename(place)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        except OSError as error:
            raise Unavailable(f"cannot write the context to {place}: {error.strerror}") from error

    @property
    def _root(self) -> Path:
        return self.directory / "contexts"


def default_directory(environment: Mapping[str, str]) -> Path:
    """$SHOAL_CONFIG, else `shoal` in $XDG_CONFIG_HOME, else `~/.config/shoal`."""
    if environment.get("SHOAL_CONFIG"):
        return Path(environment["SHOAL_CONFIG"]).expanduser()
    if environment.get("XDG_CONFIG_HOME"):
        return Path(environment["XDG_CONFIG_HOME"]) / "shoal"
    return Path.home() / ".config" / "shoal"


def identity_from_files(ca: Path, certificate: Path, key: Path) -> Identity:
    """An identity from single files.

    Raises:
        NotFound: one is missing; Unavailable: one cannot be read.
    """
    return Identity(certificate=_read(certificate), key=_read(key), ca=_read(ca))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{path} not found") from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    try:
        make_private_directory(path.parent)
        write_atomically(path, data)
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}") from error
