"""Starts a program without blocking the other threads of this process.

`os.posix_spawn` holds the interpreter's lock until the new process executes its program, since the C library waits for
that (CLONE_VFORK): for a millisecond or more on a busy host, neither the event loop nor another start continues. Called
by ctypes, the same function releases the lock. Source: posix_spawn(3), posix_spawn_file_actions_adddup2(3).
"""

import ctypes
import os
import signal
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager

_libc = ctypes.CDLL(None)

_SPACE = 1024
"""Bytes for an opaque structure of the C library: glibc's and musl's have at most 336."""

_SIGNAL_SET_BYTES = 128
_POSIX_SPAWN_SETSIGDEF = 0x04
_POSIX_SPAWN_SETSIGMASK = 0x08


def spawn_program(
    arguments: Sequence[str], environment: Mapping[str, str], *, descriptors: Iterable[tuple[int, int]]
) -> int:
    """Execute `arguments[0]`, an absolute path, in the calling thread's namespaces; returns the process id.

    The new process blocks no signal and has the default action for SIGPIPE, unlike Python.

    Args:
        descriptors: pairs of an open descriptor and its number in the program.
    Raises:
        OSError: the program cannot be executed; nothing was started.
    """
    pid = ctypes.c_int()
    words = _strings(arguments)
    variables = _strings([f"{name}={value}" for name, value in environment.items()])
    with _opaque("posix_spawn_file_actions") as actions, _opaque("posix_spawnattr") as attributes:
        for present, desired in descriptors:
            _check(_libc.posix_spawn_file_actions_adddup2(actions, present, desired))
        _set_signals(attributes)
        path = os.fsencode(arguments[0])
        _check(_libc.posix_spawn(ctypes.byref(pid), path, actions, attributes, words, variables), arguments[0])
    return pid.value


def _strings(texts: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    """An array of C strings with its closing null."""
    return (ctypes.c_char_p * (len(texts) + 1))(*map(os.fsencode, texts), None)


@contextmanager
def _opaque(kind: str) -> Generator[ctypes.Array[ctypes.c_char]]:
    """A structure between its `<kind>_init` and its `<kind>_destroy`."""
    made = ctypes.create_string_buffer(_SPACE)
    destroy: Callable[..., int] = getattr(_libc, f"{kind}_destroy")
    _check(getattr(_libc, f"{kind}_init")(made))
    try:
        yield made
    finally:
        destroy(made)


def _set_signals(attributes: ctypes.Array[ctypes.c_char]) -> None:
    signals = ctypes.create_string_buffer(_SIGNAL_SET_BYTES)
    _libc.sigemptyset(signals)
    _check(_libc.posix_spawnattr_setsigmask(attributes, signals))
    _libc.sigaddset(signals, signal.SIGPIPE)
    _check(_libc.posix_spawnattr_setsigdefault(attributes, signals))
    _check(_libc.posix_spawnattr_setflags(attributes, ctypes.c_short(_POSIX_SPAWN_SETSIGDEF | _POSIX_SPAWN_SETSIGMASK)))


def _check(error: int, name: str | None = None) -> None:
    if error:
        raise OSError(error, os.strerror(error), name)
