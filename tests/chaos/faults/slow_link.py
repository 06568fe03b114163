"""A link that delays and reorders: a relay between a host's cable and the bridge, for kernels without netem too.

    python3 slow_link.py ONE OTHER DELAY-MS REORDERED-PERCENT

Forwards every frame between two interfaces of its network namespace, after the delay; a share of them goes at once, and
so overtakes the others. By the standard library alone. Ends when its standard input does.
"""

import heapq
import itertools
import random
import select
import socket
import sys
import time

_ALL_FRAMES = 3  # ETH_P_ALL (if_ether.h)
_PACKET_VNET_HDR = 15  # if_packet.h: frames come and go with what the kernel has yet to do to them
_SOL_PACKET = 263
_OUTGOING = 4  # PACKET_OUTGOING
_MAX_FRAME = 1 << 17
_MAX_QUEUED = 5_000
"""Frames beyond that are lost."""


def opened(interface: str) -> socket.socket:
    """A socket for all frames of an interface."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_FRAMES))
    made.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    made.bind((interface, _ALL_FRAMES))
    made.setblocking(False)
    return made


def relay(one: socket.socket, other: socket.socket, delay: float, reordered: float) -> None:
    """Until the standard input ends. Delay in seconds, share of frames that are not delayed."""
    queue: list[tuple[float, int, socket.socket, bytes]] = []
    numbers = itertools.count()
    targets = {one: other, other: one}
    while True:
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, _, target, frame = heapq.heappop(queue)
            send(target, frame)
        wait = max(0.0, queue[0][0] - now) if queue else 1.0
        readable, _, _ = select.select([one, other, sys.stdin], [], [], wait)
        if sys.stdin in readable:
            return
        for source in (each for each in targets if each in readable):
            for frame in received(source):
                if len(queue) < _MAX_QUEUED:
                    at = time.monotonic() + (0.0 if random.random() < reordered else delay)
                    heapq.heappush(queue, (at, next(numbers), targets[source], frame))


def received(source: socket.socket) -> list[bytes]:
    """What has come in, not what we have sent."""
    frames: list[bytes] = []
    while len(frames) < 64:
        try:
            frame, (_, _, direction, *_rest) = source.recvfrom(_MAX_FRAME)
        except BlockingIOError:
            break
        if direction != _OUTGOING:
            frames.append(frame)
    return frames


def send(target: socket.socket, frame: bytes) -> None:
    try:
        target.send(frame)
    except OSError:
        return  # the link is full or down: lost, as on any link


def main(arguments: list[str]) -> None:
    one, other = opened(arguments[0]), opened(arguments[1])
    print("ready", flush=True)
    relay(one, other, float(arguments[2]) / 1000, float(arguments[3]) / 100)


if __name__ == "__main__":
    main(sys.argv[1:])
