"""A signal that another thread got to first ends what the main thread waits for all the same."""

import signal
import subprocess
import sys
import threading

from cli.exec.signal_forwarding import SignalForwarder
from cli.exec.waking_signals import WAKING

DEADLINE_SECONDS = 60.0
WAITS = """
import os, signal, threading
from cli.exec.signal_forwarding import SignalForwarder

threading.Thread(target=threading.Event().wait, daemon=True).start()  # as those of gRPC
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # so it is the other one that the kernel chooses
say = lambda text: os.write(1, f"{text}\\n".encode())  # unlike print, also in a handler that comes amid another one
forwarder = SignalForwarder(forward=say, resized=int, cleanup=lambda: None)
forwarder.forwarding = True
for number in (signal.SIGINT, signal.SIGQUIT):
    signal.signal(number, signal.default_int_handler)
with forwarder.installed():
    say("waits")
    os.read(os.pipe()[0], 1)
"""


def test_the_first_is_forwarded_and_the_second_ends_the_command() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"waits\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == b"SIGINT\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_SECONDS) == 130
        finally:
            process.kill()


def test_nothing_is_left_of_it_afterwards() -> None:
    handler, threads = signal.getsignal(WAKING), threading.active_count()
    forwarder = SignalForwarder(forward=lambda _: None, resized=lambda: None, cleanup=lambda: None)
    with forwarder.installed():
        (waking,) = (each for each in threading.enumerate() if each.name == "waking signals")
    waking.join(DEADLINE_SECONDS)
    assert not waking.is_alive()
    assert threading.active_count() == threads
    assert signal.getsignal(WAKING) == handler
    assert signal.set_wakeup_fd(-1) == -1
