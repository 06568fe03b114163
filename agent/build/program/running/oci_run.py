"""Runs a container to its end in the foreground, and passes on its output as it comes."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

STDOUT, STDERR = 1, 2
_PIECE = 64 << 10

OnOutput = Callable[[int, bytes], Awaitable[None]]
"""Takes a stream's number and a piece of output, of whole lines where they are not too long."""


async def run_container(program: str, state: Path, bundle: Path, name: str, on_output: OnOutput) -> int:
    """The exit code of a bundle's first process: 128 + the number of a signal that ended it.

    Raises:
        OSError: the OCI runtime cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        program, "--root", str(state), "run", "--bundle", str(bundle), name,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={}, cwd="/",
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    await asyncio.gather(_pass_on(process.stdout, STDOUT, on_output), _pass_on(process.stderr, STDERR, on_output))
    code = await process.wait()
    return code if code >= 0 else 128 - code


async def _pass_on(reader: asyncio.StreamReader, stream: int, on_output: OnOutput) -> None:
    rest = b""
    while piece := await reader.read(_PIECE):
        lines, newline, rest = (rest + piece).rpartition(b"\n")
        if newline:
            await on_output(stream, lines + newline)
        elif len(rest) >= _PIECE:
            await on_output(stream, rest)
            rest = b""
    if rest:
        await on_output(stream, rest)
