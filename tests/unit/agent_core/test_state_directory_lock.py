"""One agent at a time uses a state directory; its successor waits until a killed one has ended."""

import fcntl
import os
import threading
from pathlib import Path

import pytest

from agent.main import state_directory_lock
from shoal.errors import Refused


def held(directory: Path) -> int:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def test_an_agent_that_is_ending_is_waited_for(tmp_path: Path) -> None:
    ending = threading.Timer(0.2, os.close, [held(tmp_path)])
    ending.start()
    with state_directory_lock(tmp_path, seconds=30):
        ending.join()
        with (
            pytest.raises(Refused, match="an agent is already running with"),
            state_directory_lock(tmp_path, seconds=0),
        ):
            pass


def test_an_agent_that_goes_on_is_refused(tmp_path: Path) -> None:
    handle = held(tmp_path)
    with pytest.raises(Refused, match="stop it first"), state_directory_lock(tmp_path, seconds=0.1):
        pass
    os.close(handle)
    with state_directory_lock(tmp_path, seconds=0):
        assert tmp_path.is_dir()
