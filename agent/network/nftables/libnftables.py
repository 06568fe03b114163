"""A binding of libnftables, the C library of nft (libnftables(3)): its stable interface is a dozen functions."""

import ctypes
import ctypes.util
import json
import re
import threading
from collections.abc import Sequence
from typing import Any

from shoal.errors import Unavailable

_JSON_OUTPUT = 1 << 4
_NUMERIC = 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10
"""Priorities, protocols, time and symbols as numbers (NFT_CTX_OUTPUT_NUMERIC_*)."""
_HANDLES = 1 << 3
_WITH_HANDLE = re.compile(r"^\s*(.*) # handle (\d+)$", re.MULTILINE)
_TERSE = 1 << 11
"""Without elements of sets (NFT_CTX_OUTPUT_TERSE)."""
_NAMES = ("libnftables.so.1", "libnftables.so")


def _load() -> ctypes.CDLL:
    for name in _NAMES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
        library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        return library
    raise Unavailable("libnftables.so.1 not found: install the package libnftables1 (or nftables)")


class Nftables:
    """A libnftables context in the network namespace of the thread that creates it.

    A command is one transaction: all of it is done, or nothing. Calls are serialized.
    """

    def __init__(self) -> None:
        self._library = _load()
        self._lock = threading.Lock()
        context = self._library.nft_ctx_new(ctypes.c_uint32(0))
        if not context:
            raise Unavailable("cannot initialize libnftables: check that the kernel has nf_tables (CONFIG_NF_TABLES)")
        self._context = ctypes.c_void_p(context)
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def close(self) -> None:
        self._library.nft_ctx_free(self._context)

    def run(self, command: str) -> None:
        """Execute a transaction in nft's language.

        Raises:
            Unavailable: refused; nothing was changed.
        """
        with self._lock:
            self._execute(command, 0)

    def list_table(self, family: str, name: str) -> Sequence[dict[str, Any]]:
        """The objects of a table as in libnftables-json(5); none when the table does not exist."""
        return self._list_table(family, name, _NUMERIC)

    def list_set(self, family: str, table: str, name: str) -> Sequence[Any]:
        """The elements of a set as in libnftables-json(5).

        Raises:
            Unavailable: the set does not exist.
        """
        with self._lock:
            listed = json.loads(self._execute(f"list set {family} {table} {name}", _JSON_OUTPUT))["nftables"]
        return [element for entry in listed for element in entry.get("set", {}).get("elem", ())]

    def list_rules(self, family: str, name: str) -> Sequence[dict[str, Any]]:
        """As `list_table`, without elements of sets, with protocols and states by name, and with nft's text of iptables
        rules that JSON has no form for ("text")."""
        objects = self._list_table(family, name, _TERSE)
        if any("xt" in each for entry in objects for each in entry.get("rule", {}).get("expr", ())):
            with self._lock:
                text = self._execute(f"list table {family} {name}", _TERSE | _HANDLES)
            texts = {int(number): line for line, number in _WITH_HANDLE.findall(text)}
            for entry in objects:
                if "rule" in entry:
                    entry["rule"]["text"] = texts.get(entry["rule"]["handle"], "")
        return objects

    def _list_table(self, family: str, name: str, flags: int) -> Sequence[dict[str, Any]]:
        with self._lock:
            tables = json.loads(self._execute(f"list tables {family}", _JSON_OUTPUT))["nftables"]
            if not any(entry.get("table", {}).get("name") == name for entry in tables):
                return ()
            output = self._execute(f"list table {family} {name}", _JSON_OUTPUT | flags)
        return list(json.loads(output)["nftables"])

    def list_chains(self) -> Sequence[dict[str, Any]]:
        """The chains of all tables, without their rules."""
        with self._lock:
            found = json.loads(self._execute("list chains", _JSON_OUTPUT | _NUMERIC))["nftables"]
        return [entry["chain"] for entry in found if "chain" in entry]

    def _execute(self, command: str, flags: int) -> str:
        self._library.nft_ctx_output_set_flags(self._context, ctypes.c_uint32(flags))
        failed = self._library.nft_run_cmd_from_buffer(self._context, command.encode())
        output = self._library.nft_ctx_get_output_buffer(self._context) or b""
        error = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            first = error.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise Unavailable(f"nftables refused: {first[0]}")
        return str(output.decode())
