"""From a logical line to a typed instruction. Pure. Texts are those of BuildKit where clients know them."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches

from shoal.dockerfile import arguments
from shoal.dockerfile.builder_flags import FlagKind, FlagValues, split_flags
from shoal.dockerfile.healthcheck_parser import HEALTHCHECK_FLAGS, parse_healthcheck
from shoal.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    CopyFlags,
    Entrypoint,
    Env,
    Expose,
    From,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Origin,
    Run,
    Shell,
    StopSignal,
    User,
    Variable,
    Volume,
    Workdir,
)
from shoal.dockerfile.lines import LogicalLine, split_instruction
from shoal.dockerfile.mount_options import check_mounts
from shoal.dockerfile.parsed_arguments import Arguments
from shoal.errors import InvalidInput

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_NETWORKS = ("default", "none", "host")
_SECURITY = ("sandbox", "insecure")
_NOT_ON_BUILD = ("ONBUILD", "FROM", "MAINTAINER")

_ONE = FlagKind()
_MANY = FlagKind(repeats=True)
_BOOLEAN = FlagKind(is_boolean=True)
_NO_FLAGS: Mapping[str, FlagKind] = {}
_SHARED_FLAGS = {"chown": _ONE, "chmod": _ONE, "link": _BOOLEAN, "exclude": _MANY}
_COPY_FLAGS = _SHARED_FLAGS | {"from": _ONE, "parents": _BOOLEAN}
_ADD_FLAGS = _SHARED_FLAGS | {"checksum": _ONE, "keep-git-dir": _BOOLEAN, "unpack": _BOOLEAN}


def parse_instruction(line: LogicalLine, escape: str) -> Instruction:
    """The instruction that a line is.

    Raises:
        InvalidInput: with what is wrong, without a location.
    """
    name, rest = split_instruction(line.text)
    found = _PARSERS.get(name)
    if found is None:
        raise InvalidInput(f"unknown instruction: {name.upper()[:40]}{_nearest(name)}")
    parse, known = found
    flags, rest = split_flags(rest, escape)
    origin = Origin(line.location, line.text)
    return parse(Arguments(origin, name.upper(), rest, FlagValues(flags, known), line.heredocs, escape))


def _from(given: Arguments) -> Instruction:
    words = arguments.plain_words(given.text)
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
        raise InvalidInput("FROM requires either one or three arguments: FROM image [AS name]")
    alias = words[2].lower() if len(words) == 3 else ""
    if alias and not _STAGE_NAME.fullmatch(alias):
        text = f'invalid name for build stage: "{alias}", name can\'t start with a number or contain symbols'
        raise InvalidInput(text)
    return From(given.origin, words[0], alias, given.flags.text("platform"))


def _arg(given: Arguments) -> Instruction:
    words = list(arguments.quoted_words(given.text, given.escape))
    if not words:
        raise InvalidInput("ARG requires at least one argument")
    variables = []
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise InvalidInput("ARG names can not be blank")
        variables.append(Variable(name, value if equals else None))
    return Arg(given.origin, tuple(variables))


def _env(given: Arguments) -> Instruction:
    return Env(given.origin, *arguments.assignments(given.text, "ENV", given.escape))


def _label(given: Arguments) -> Instruction:
    return Label(given.origin, *arguments.assignments(given.text, "LABEL", given.escape))


def _run(given: Arguments) -> Instruction:
    given.require_text()
    command = arguments.command(given.text)
    if not command.words:
        raise InvalidInput("RUN requires at least one argument")
    network = given.flags.text("network", "default")
    security = given.flags.text("security", "sandbox")
    _check_choice("network", network, _NETWORKS)
    _check_choice("security", security, _SECURITY)
    check_mounts(given.flags.texts("mount"))
    heredocs = given.heredocs if command.is_shell else ()
    return Run(given.origin, command, heredocs, given.flags.texts("mount"), network, security)


def _copy(given: Arguments) -> Instruction:
    sources, destination = given.sources()
    flags = CopyFlags(
        chown=given.flags.text("chown"),
        chmod=given.flags.text("chmod"),
        link=bool(given.flags.boolean("link")),
        parents=bool(given.flags.boolean("parents")),
        excludes=given.flags.texts("exclude"),
    )
    stage = given.flags.text("from")
    if stage and given.heredocs:
        raise InvalidInput("COPY --from cannot be combined with here-documents")
    return Copy(given.origin, sources, destination, given.heredocs, stage, flags)


def _add(given: Arguments) -> Instruction:
    sources, destination = given.sources()
    flags = CopyFlags(
        chown=given.flags.text("chown"),
        chmod=given.flags.text("chmod"),
        link=bool(given.flags.boolean("link")),
        excludes=given.flags.texts("exclude"),
        checksum=given.flags.text("checksum"),
        keep_git_dir=bool(given.flags.boolean("keep-git-dir")),
        unpack=given.flags.boolean("unpack"),
    )
    return Add(given.origin, sources, destination, given.heredocs, flags)


def _cmd(given: Arguments) -> Instruction:
    return Cmd(given.origin, arguments.command(given.text))


def _entrypoint(given: Arguments) -> Instruction:
    return Entrypoint(given.origin, arguments.command(given.text))


def _shell(given: Arguments) -> Instruction:
    words = arguments.json_words(given.text)
    if words is None:
        raise InvalidInput("SHELL requires the arguments to be in JSON form")
    if not words:
        raise InvalidInput("SHELL requires at least one argument")
    return Shell(given.origin, words)


def _workdir(given: Arguments) -> Instruction:
    return Workdir(given.origin, given.require_text())


def _user(given: Arguments) -> Instruction:
    return User(given.origin, given.require_text())


def _expose(given: Arguments) -> Instruction:
    given.require_text()
    return Expose(given.origin, arguments.plain_words(given.text))


def _volume(given: Arguments) -> Instruction:
    given.require_text()
    paths = arguments.words(given.text)
    if not paths or not all(path.strip() for path in paths):
        raise InvalidInput("VOLUME specified can not be an empty string")
    return Volume(given.origin, paths)


def _stop_signal(given: Arguments) -> Instruction:
    given.require_text()
    words = arguments.plain_words(given.text)
    if len(words) != 1:
        raise InvalidInput("STOPSIGNAL requires exactly one argument")
    return StopSignal(given.origin, words[0])


def _on_build(given: Arguments) -> Instruction:
    name = split_instruction(given.require_text())[0].upper()
    if name == "ONBUILD":
        raise InvalidInput("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if name in _NOT_ON_BUILD:
        raise InvalidInput(f"{name} isn't allowed as an ONBUILD trigger")
    if name.lower() not in _PARSERS:
        raise InvalidInput(f"unknown instruction: {name[:40]}{_nearest(name.lower())}")
    heredocs = (f"{heredoc.content}{heredoc.name}" for heredoc in given.heredocs)
    return OnBuild(given.origin, "\n".join((given.text, *heredocs)))


def _maintainer(given: Arguments) -> Instruction:
    return Maintainer(given.origin, given.require_text())


def _check_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidInput(f"unsupported value {value!r} of --{flag}; use one of {', '.join(choices)}")


def _nearest(name: str) -> str:
    """The instruction that is probably meant."""
    close = get_close_matches(name, _PARSERS, 1, 0.6)
    return f" (did you mean {close[0].upper()}?)" if close else ""


_PARSERS: Mapping[str, tuple[Callable[[Arguments], Instruction], Mapping[str, FlagKind]]] = {
    "from": (_from, {"platform": _ONE}),
    "arg": (_arg, _NO_FLAGS),
    "env": (_env, _NO_FLAGS),
    "label": (_label, _NO_FLAGS),
    "run": (_run, {"mount": _MANY, "network": _ONE, "security": _ONE}),
    "copy": (_copy, _COPY_FLAGS),
    "add": (_add, _ADD_FLAGS),
    "cmd": (_cmd, _NO_FLAGS),
    "entrypoint": (_entrypoint, _NO_FLAGS),
    "shell": (_shell, _NO_FLAGS),
    "workdir": (_workdir, _NO_FLAGS),
    "user": (_user, _NO_FLAGS),
    "expose": (_expose, _NO_FLAGS),
    "volume": (_volume, _NO_FLAGS),
    "stopsignal": (_stop_signal, _NO_FLAGS),
    "healthcheck": (parse_healthcheck, HEALTHCHECK_FLAGS),
    "onbuild": (_on_build, _NO_FLAGS),
    "maintainer": (_maintainer, _NO_FLAGS),
}
