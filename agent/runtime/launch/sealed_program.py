"""A sealed in-memory copy (memfd) of a program, executed instead of the file on disk.

crun first protects itself from its containers: so that none can overwrite the host's program by `/proc/self/exe`
(CVE-2019-5736), it executes a copy that cannot be written to, and is loaded and linked twice for each container. If it
finds that it runs from a sealed file in memory, it continues at once (cloned_binary.c).
"""

import fcntl
import logging
import os
from pathlib import Path

_log = logging.getLogger(__name__)
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
"""Exactly the seals that crun checks."""


class SealedProgram:
    """A sealed copy of a program, executable by `path` as long as this process lives.

    Args:
        source: the program.
        link: path of a link to the copy; a link of an earlier process is replaced.
    """

    def __init__(self, source: Path, link: Path) -> None:
        self._descriptor = -1
        self.path = source
        try:
            self._descriptor = _sealed(source)
        except OSError as error:
            # The host may forbid programs in memory (sysctl vm.memfd_noexec): the program then makes its own copy.
            _log.info("running %s from disk, not from memory: %s", source, error.strerror)
            return
        draft = link.with_name(f".{link.name}")
        draft.unlink(missing_ok=True)
        draft.symlink_to(f"/proc/{os.getpid()}/fd/{self._descriptor}")
        draft.replace(link)
        self.path = link

    def close(self) -> None:
        """Release the copy; the link is dangling from now on."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _sealed(source: Path) -> int:
    """A descriptor of the copy. Raises OSError."""
    descriptor = os.memfd_create(source.name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with source.open("rb") as program:
            while os.sendfile(descriptor, program.fileno(), None, 1 << 20):
                continue
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        if not os.access(f"/proc/self/fd/{descriptor}", os.X_OK):
            raise PermissionError(0, "executing files in memory is not allowed")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
