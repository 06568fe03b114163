"""`fault("name")`: nothing, unless this process was started with faults in its environment."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from shoal.fault_points.points import POINTS
from shoal.fault_points.specification import FaultAction, InjectedFault, parse_faults

FAULTS = "SHOAL_FAULTS"
RECORD = "SHOAL_FAULTS_RECORD"
_BAD_SPECIFICATION = 2


class FaultInjector:
    """Does what a specification says. Safe from any thread.

    Args:
        read: the specification's text, at each point.
        record: takes the names of points that were reached, a line each; None: nobody asks.
    """

    def __init__(self, read: Callable[[], str], record: Path | None) -> None:
        self._read = read
        self._record = record
        self._lock = threading.Lock()
        self._text = ""
        self._faults: Mapping[str, InjectedFault] = {}
        self._counts: Counter[str] = Counter()
        self._recorded: set[str] = set()

    def check(self) -> None:
        """Raises ValueError: the specification is none."""
        with self._lock:
            self._refresh()

    def reached(self, name: str) -> None:
        """A point was reached.

        Raises:
            OSError: as specified. ValueError: there is no such point, or the specification is none.
        """
        if name not in POINTS:
            raise ValueError(f"fault point {name!r} is not in shoal.fault_points.points")
        with self._lock:
            self._note(name)
            self._refresh()
            self._counts[name] += 1
            fault = self._faults.get(name)
            due = fault is not None and fault.applies(self._counts[name])
        if fault is not None and due:
            _happen(name, fault)

    def _refresh(self) -> None:
        text = self._read()
        if text != self._text:
            self._faults = parse_faults(text, POINTS)
            self._text = text
            self._counts.clear()

    def _note(self, name: str) -> None:
        if self._record is not None and name not in self._recorded:
            self._recorded.add(name)
            with self._record.open("a") as file:
                file.write(f"{name}\n")


def _happen(name: str, fault: InjectedFault) -> None:
    os.write(2, f"fault point {name}: {fault.action.value}\n".encode())
    match fault.action:
        case FaultAction.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case FaultAction.RAISE:
            raise OSError(fault.number, os.strerror(fault.number))
        case FaultAction.HANG:
            time.sleep(fault.seconds) if fault.seconds is not None else threading.Event().wait()


def injector_of(environment: Mapping[str, str]) -> FaultInjector | None:
    """What an environment asks for; None: nothing.

    Raises:
        ValueError: the specification is none.
    """
    text, record = environment.get(FAULTS, ""), environment.get(RECORD, "")
    if not (text or record):
        return None
    made = FaultInjector(_reader(text), Path(record) if record else None)
    made.check()
    return made


def _reader(text: str) -> Callable[[], str]:
    if not text.startswith("@"):
        return lambda: text
    path = Path(text[1:])

    def read() -> str:
        try:
            return path.read_text()
        except FileNotFoundError:
            return ""

    return read


def _injector_or_exit() -> FaultInjector | None:
    try:
        return injector_of(os.environ)
    except (ValueError, OSError) as error:
        os.write(2, f"{FAULTS}: {error}\n".encode())
        os._exit(_BAD_SPECIFICATION)


_INJECTOR = _injector_or_exit()


def fault(name: str) -> None:
    """A place at which a test may end this process, make it fail with OSError, or let it hang.

    Args:
        name: literal, one of `POINTS`.
    """
    if _INJECTOR is not None:
        _INJECTOR.reached(name)
