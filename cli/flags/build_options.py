"""Flags of `shoal build`, and what is asked for by those that were given. All errors are reported at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import click

from cli.flags.fault_collector import FaultCollector
from cli.flags.ssh_option import parse_ssh
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.api.v1.container_pb2 import Ulimit
from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.spec_parsers.builds.build_caches import parse_cache
from shoal.spec_parsers.builds.build_inputs import (
    SecretSource,
    parse_assignment,
    parse_build_network,
    parse_named_context,
    parse_secret,
)
from shoal.spec_parsers.builds.build_outputs import BuildOutputOption, parse_output
from shoal.spec_parsers.extra_hosts import parse_extra_host
from shoal.spec_parsers.units import parse_bytes

Command = Callable[..., Any]
Complete = Callable[[click.Context, click.Parameter, str], list[str]]
LOCAL_CONTEXT = "local"


@dataclass
class BuildDraft:
    """What the flags say.

    Attributes:
        start: for the node, without the Dockerfile.
        directories: named contexts of this machine. ssh_agents: sockets by id.
        platforms: of the image; the first one is in `start` too.
        output: None: an image.
        environment: for arguments and secrets without a value.
    """

    environment: Mapping[str, str]
    start: BuildStart = field(default_factory=BuildStart)
    secrets: dict[str, SecretSource] = field(default_factory=dict)
    directories: dict[str, Path] = field(default_factory=dict)
    ssh_agents: dict[str, str] = field(default_factory=dict)
    platforms: list[str] = field(default_factory=list)
    output: BuildOutputOption | None = None


class BuildFlag(NamedTuple):
    """One flag that has a value."""

    name: str
    metavar: str
    help: str
    apply: Callable[[BuildDraft, str], object]
    repeatable: bool = False
    short: str = ""

    @property
    def parameter(self) -> str:
        return self.name.removeprefix("--").replace("-", "_")


def _name(draft: BuildDraft, text: str) -> None:
    reference = parse(text)
    if reference.digest:
        raise InvalidInput(f"{text}: specify a tag, not a digest")
    if (name := str(reference.with_default_tag())) not in draft.start.names:
        draft.start.names.append(name)


def _argument(draft: BuildDraft, text: str) -> None:
    if (pair := parse_assignment(text, draft.environment)) is not None:
        draft.start.build_args[pair[0]] = pair[1]


def _label(draft: BuildDraft, text: str) -> None:
    name, _, value = text.partition("=")
    if not name:
        raise InvalidInput(f"{text!r} must be in the form NAME=VALUE")
    draft.start.labels[name] = value


def _secret(draft: BuildDraft, text: str) -> None:
    secret = parse_secret(text)
    draft.secrets[secret.identifier] = secret


def _ssh(draft: BuildDraft, text: str) -> None:
    name, path = parse_ssh(text, draft.environment)
    draft.ssh_agents[name] = path


def _context(draft: BuildDraft, text: str) -> None:
    found = parse_named_context(text)
    draft.start.contexts[found.name] = LOCAL_CONTEXT if found.is_directory else found.source
    if found.is_directory:
        directory = Path(found.source)
        if not directory.is_dir():
            raise InvalidInput(f"{found.source!r} is not a directory")
        draft.directories[found.name] = directory


def _output(draft: BuildDraft, text: str) -> None:
    if draft.output is not None:
        raise InvalidInput("can be given once only; build again for another output, which the cache makes quick")
    draft.output = parse_output(text)


def _ulimit(draft: BuildDraft, text: str) -> None:
    name, _, value = text.partition("=")
    soft, _, hard = value.partition(":")
    try:
        limit = Ulimit(name=name, soft=int(soft), hard=int(hard or soft))
    except ValueError:
        raise InvalidInput(f"{text!r} must be in the form NAME=SOFT[:HARD]") from None
    draft.start.ulimits.append(limit)


def _network(draft: BuildDraft, text: str) -> None:
    draft.start.network = parse_build_network(text)


def _platform(draft: BuildDraft, text: str) -> None:
    """One, or several of which an index is made."""
    found: list[str] = []
    for word in text.lower().split(","):
        parts = word.strip().split("/")
        if not 2 <= len(parts) <= 3 or not all(parts):
            raise InvalidInput(f"{word!r} must be in the form os/architecture[/variant], such as linux/arm64")
        found.append("/".join(parts))
    draft.platforms = list(dict.fromkeys(found))
    draft.start.platform = draft.platforms[0]


def _stages(draft: BuildDraft, text: str) -> None:
    draft.start.no_cache_stages.extend(each.strip() for each in text.split(",") if each.strip())


def _entitlement(draft: BuildDraft, text: str) -> None:
    if text not in ("network.host", "security.insecure"):
        raise InvalidInput(f"{text!r} is not supported; use network.host or security.insecure")
    draft.start.entitlements.append(text)


def _memory_swap(draft: BuildDraft, text: str) -> None:
    draft.start.memory_swap_bytes = -1 if text == "-1" else parse_bytes(text)


def _set(name: str, parse_value: Callable[[str], Any] = str) -> Callable[[BuildDraft, str], None]:
    return lambda draft, text: setattr(draft.start, name, parse_value(text))


def _cpu(name: str) -> Callable[[BuildDraft, str], None]:
    def apply(draft: BuildDraft, text: str) -> None:
        if not (text.isascii() and text.isdigit() and len(text) < 18):
            raise InvalidInput(f"{text!r} must be a number")
        setattr(draft.start.cpu, name, int(text))

    return apply


FLAGS = (
    BuildFlag("--add-host", "HOST:IP", "Add a line to /etc/hosts of RUN.",
              lambda draft, text: draft.start.extra_hosts.append(parse_extra_host(text)), repeatable=True),
    BuildFlag("--allow", "NAME", "Allow network.host or security.insecure to steps that ask for it.", _entitlement,
              repeatable=True),
    BuildFlag("--build-arg", "NAME[=VALUE]", "Set an ARG; without a value that of the environment.", _argument,
              repeatable=True),
    BuildFlag("--build-context", "NAME=SOURCE", "Add a named context: a directory, docker-image://IMAGE or an address.",
              _context, repeatable=True),
    BuildFlag("--cache-from", "SOURCE", "Use a cache too: an image, type=registry,ref=IMAGE or type=local,src=DIR.",
              lambda draft, text: draft.start.cache_from.append(parse_cache(text, export=False)), repeatable=True),
    BuildFlag("--cache-to", "TARGET", "Export the cache: type=registry,ref=IMAGE, type=local,dest=DIR or type=inline.",
              lambda draft, text: draft.start.cache_to.append(parse_cache(text, export=True)), repeatable=True),
    BuildFlag("--cpu-period", "USEC", "Period of --cpu-quota.", _cpu("period_us")),
    BuildFlag("--cpu-quota", "USEC", "CPU time of each RUN in a period.", _cpu("quota_us")),
    BuildFlag("--cpu-shares", "NUMBER", "Relative weight of RUN's CPU time.", _cpu("shares"), short="-c"),
    BuildFlag("--cpuset-cpus", "CPUS", "CPUs of RUN (0-3, 0,1).",
              lambda draft, text: setattr(draft.start.cpu, "cpuset_cpus", text)),
    BuildFlag("--cpuset-mems", "NODES", "Memory nodes of RUN (0-3, 0,1).",
              lambda draft, text: setattr(draft.start.cpu, "cpuset_mems", text)),
    BuildFlag("--label", "NAME=VALUE", "Set a label of the image.", _label, repeatable=True),
    BuildFlag("--memory", "BYTES", "Memory limit of each RUN.", _set("memory_bytes", parse_bytes), short="-m"),
    BuildFlag("--memory-swap", "BYTES", "Memory and swap together; -1 for no bound on swap.", _memory_swap),
    BuildFlag("--network", "NETWORK", "Network of RUN: default, none, host or a network of the cluster.", _network),
    BuildFlag("--no-cache-filter", "STAGES", "Build these stages again.", _stages, repeatable=True),
    BuildFlag("--node", "NODE", "Build on this node.", _set("node")),
    BuildFlag("--output", "DEST", "Where the result goes: a directory, or type=local|tar|oci|docker|image|registry|"
              "cacheonly,dest=PATH.", _output, repeatable=True, short="-o"),
    BuildFlag("--platform", "OS/ARCH,…", "Platform of the image; several give an index.", _platform),
    BuildFlag("--secret", "SPEC", "Give RUN a secret: id=NAME,src=FILE or id=NAME,env=VARIABLE.", _secret,
              repeatable=True),
    BuildFlag("--shm-size", "BYTES", "Size of /dev/shm of RUN.", _set("shm_bytes", parse_bytes)),
    BuildFlag("--ssh", "ID[=SOCKET|KEY]", "Let RUN use this machine's SSH agent, or keys of files.", _ssh,
              repeatable=True),
    BuildFlag("--tag", "NAME[:TAG]", "Name of the image.", _name, repeatable=True, short="-t"),
    BuildFlag("--target", "STAGE", "Stage to build (default: the last one).", _set("target")),
    BuildFlag("--ulimit", "NAME=SOFT[:HARD]", "Ulimit of RUN.", _ulimit, repeatable=True),
)  # fmt: skip

REFUSED: Mapping[str, str] = {
    "--annotation": "annotations are not supported; use --label",
    "--attest": "attestations are not made",
    "--builder": "there are no builder instances; use --node",
    "--cgroup-parent": "cgroups are managed by the cluster's nodes; use --memory and --cpu-quota",
    "--sbom": "software bills of materials are not made",
    "--security-opt": "security options are not supported for builds; use --allow security.insecure",
}
"""Flags of Docker's that cannot be honoured, with the reason."""
NO_EFFECT = ("--rm", "--force-rm", "--compress", "--load", "--disable-content-trust")
"""Flags of Docker's that hold anyway."""

CALLS = ("build", "check", "outline", "targets")
"""Values of `--call`; the last two list what a Dockerfile has, and are refused."""


def build_options(completions: Mapping[str, Complete]) -> Callable[[Command], Command]:
    """Adds every flag that has a value, and those that are refused or have no effect, to a click command.

    Args:
        completions: of values, by the names of flags.
    """
    return lambda command: _add_options(command, completions)


def _add_options(command: Command, completions: Mapping[str, Complete]) -> Command:
    for name in reversed(NO_EFFECT):
        command = click.option(name, is_flag=True, hidden=True, expose_value=False)(command)
    for name in reversed(list(REFUSED)):
        command = click.option(name, metavar="VALUE", multiple=True, hidden=True)(command)
    command = click.option("--provenance", metavar="VALUE", hidden=True)(command)
    command = click.option("--squash", is_flag=True, hidden=True)(command)
    command = click.option("--isolation", metavar="VALUE", hidden=True)(command)
    command = click.option("--call", type=click.Choice(CALLS), default=CALLS[0], hidden=True)(command)
    for flag in sorted(FLAGS, key=lambda each: each.name, reverse=True):
        names = [flag.short] * bool(flag.short) + [flag.name]
        complete = completions.get(flag.name)
        option = click.option(
            *names, metavar=flag.metavar, help=flag.help, multiple=flag.repeatable, shell_complete=complete
        )
        command = option(command)
    return command


def draft_of(given: Mapping[str, Any], environment: Mapping[str, str], faults: FaultCollector) -> BuildDraft:
    """What was given, by click's names ("build_arg"); what is wrong goes to the faults."""
    draft = BuildDraft(environment)
    for name, reason in REFUSED.items():
        if given.get(name.removeprefix("--").replace("-", "_")):
            with faults.flag(name):
                raise InvalidInput(reason)
    with faults.flag("--provenance"):
        if given.get("provenance") not in (None, "false", "0"):
            raise InvalidInput("attestations are not made")
    with faults.flag("--squash"):
        if given.get("squash"):
            raise InvalidInput("images are not squashed; use a stage that copies from another one")
    with faults.flag("--isolation"):
        if given.get("isolation") not in (None, "", "default"):
            raise InvalidInput("only default is supported; other isolation technologies are those of Windows")
    with faults.flag("--call"):
        if given.get("call") in CALLS[2:]:
            raise InvalidInput(
                "only build and check are supported; `FROM … AS` and ARG lines of the Dockerfile list both"
            )
    draft.start.check_only = given.get("call") == "check"
    for flag in FLAGS:
        for text in _texts(given.get(flag.parameter)):
            with faults.flag(flag.name):
                flag.apply(draft, text)
    return draft


def _texts(value: str | Sequence[str] | None) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        yield from value or ()
