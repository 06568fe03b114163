"""Parse what a build is given, in BuildKit's notations: secrets, arguments, named contexts."""

from collections.abc import Mapping
from dataclasses import dataclass

from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.networks.network_modes import BRIDGE, HOST, NONE, is_mode
from shoal.spec_parsers.builds.csv_fields import csv_fields

IMAGE_CONTEXT = "docker-image://"
_UNSUPPORTED_CONTEXTS = ("oci-layout://", "target:", "input:")


@dataclass(frozen=True)
class SecretSource:
    """Where the value of a secret is: in a file, or in a variable of the environment."""

    identifier: str
    file: str = ""
    variable: str = ""


def parse_secret(text: str) -> SecretSource:
    """A secret in "id=npm,src=.npmrc", "id=TOKEN" or "id=npm,env=NPM_TOKEN".

    Without `src` and `env` it is the variable of the same name; the caller takes the file of that name where there is
    no such variable.

    Raises:
        InvalidInput: an unknown key, or no id.
    """
    values: dict[str, str] = {}
    for key, value in csv_fields(text).items():
        key = {"source": "src"}.get(key, key)
        if key not in ("id", "src", "env", "type"):
            raise InvalidInput(f"unexpected key {key!r} in {text!r}; use id, src and env")
        values[key] = value
    kind = values.get("type", "")
    if kind not in ("", "file", "env"):
        raise InvalidInput(f"unsupported secret type {kind!r}; use file or env")
    if not values.get("id"):
        raise InvalidInput(f"{text!r}: id is missing")
    if "src" in values and "env" in values:
        raise InvalidInput(f"{text!r}: src and env cannot be combined")
    if kind == "env" and "src" in values:
        return SecretSource(values["id"], variable=values["src"])
    variable = values.get("env", values["id"] if kind == "env" else "")
    return SecretSource(values["id"], values.get("src", values["id"] if kind == "file" else ""), variable)


@dataclass(frozen=True)
class NamedContext:
    """A context by name.

    Attributes:
        source: an image ("docker-image://alpine"), an address, or a directory.
        is_directory: of this machine.
    """

    name: str
    source: str
    is_directory: bool


def parse_named_context(text: str) -> NamedContext:
    """A named context in "base=docker-image://alpine:3.20" or "src=../lib".

    Raises:
        InvalidInput: there is no name, or another kind of source.
    """
    name, sign, source = text.partition("=")
    if not (name and sign and source):
        raise InvalidInput(f"{text!r} must be in the form NAME=PATH or NAME={IMAGE_CONTEXT}IMAGE")
    if source.startswith(_UNSUPPORTED_CONTEXTS):
        raise InvalidInput(
            f"{text!r}: {source.split(':')[0]} is not supported; use a directory or {IMAGE_CONTEXT}IMAGE"
        )
    if source.startswith(IMAGE_CONTEXT):
        parse(source.removeprefix(IMAGE_CONTEXT))
        return NamedContext(name.lower(), source, is_directory=False)
    return NamedContext(name.lower(), source, is_directory=not is_remote(source))


_REMOTE = ("http://", "https://", "git://", "ssh://", "git@", "github.com/")


def is_remote(text: str) -> bool:
    """Whether a context is an address of git or HTTP that the node fetches."""
    return text.startswith(_REMOTE)


def parse_assignment(text: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """A build argument in "NAME=VALUE", or "NAME" with its value in the environment; None where that has none.

    Raises:
        InvalidInput: there is no name.
    """
    name, sign, value = text.partition("=")
    if not name:
        raise InvalidInput(f"{text!r} must be in the form NAME=VALUE")
    if sign:
        return name, value
    return (name, environment[name]) if name in environment else None


def parse_build_network(text: str) -> str:
    """The network of RUN as `BuildStart.network` has it; empty for the node's own pool.

    Raises:
        InvalidInput: it is another container's or a service's.
    """
    if is_mode(text) and text not in (NONE, HOST, BRIDGE):
        raise InvalidInput(f"{text!r} is not supported; use default, none, host or a network")
    return "" if text in ("default", BRIDGE) else text
