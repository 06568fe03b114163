"""Files of ADD from the web. Blocking. Dockerfile reference, "ADD"."""

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agent.archives.disk_budget import DiskBudget
from shoal.errors import InvalidInput, NotFound, Unavailable

TIMEOUT_SECONDS = 30.0
_READ = 256 << 10
_AGENT = "shoal-build"
_MODE = 0o600


@dataclass(frozen=True)
class Download:
    """A file that was fetched.

    Attributes:
        name: under which it is placed in a directory; empty: the address has none.
        digest: "sha256:…" of it.
    """

    path: Path
    name: str
    digest: str


def download(url: str, checksum: str, directory: Path, disk: DiskBudget, stopped: Callable[[], bool]) -> Download:
    """Fetch a file into an empty directory. Its time is what the server says, its mode 0600.

    Args:
        checksum: "sha256:…", "sha384:…" or "sha512:…"; empty: any content will do.
    Raises:
        NotFound: it is not there. InvalidInput: it has another checksum. Unavailable: the server fails.
        Exhausted: the disk is filling up.
    """
    algorithm = checksum.partition(":")[0] or "sha256"
    content, given = hashlib.sha256(), hashlib.new(algorithm)
    path = directory / "file"
    request = urllib.request.Request(url, headers={"User-Agent": _AGENT})  # noqa: S310  # only http(s): `is_remote`
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response, path.open("xb") as file:  # noqa: S310
            while piece := response.read(_READ):
                if stopped():
                    raise Unavailable("the build was stopped")
                disk.add_bytes(len(piece))
                content.update(piece)
                given.update(piece)
                file.write(piece)
            modified = response.headers.get("Last-Modified", "")
    except urllib.error.HTTPError as error:
        kind = NotFound if error.code in (404, 410) else Unavailable
        raise kind(f"failed to load {url[:200]}: invalid response status {error.code}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"failed to load {url[:200]}: {getattr(error, 'reason', error)}") from error
    if checksum and f"{algorithm}:{given.hexdigest()}" != checksum:
        raise InvalidInput(f"digest mismatch {algorithm}:{given.hexdigest()}: {checksum}")
    path.chmod(_MODE)
    _set_time(path, modified)
    return Download(path, _name(url), f"sha256:{content.hexdigest()}")


def _name(url: str) -> str:
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    return "" if name in (".", "..") or "\0" in name else name


def _set_time(path: Path, modified: str) -> None:

    seconds = 0.0
    with suppress(ValueError, TypeError, OverflowError):
        seconds = max(0.0, parsedate_to_datetime(modified).timestamp()) if modified else 0.0
    os.utime(path, (seconds, seconds))
