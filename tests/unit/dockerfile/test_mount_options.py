"""Options of `RUN --mount` (Dockerfile reference, "RUN --mount")."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.dockerfile.document import parse_dockerfile
from shoal.dockerfile.mount_options import MAX_MOUNTS, check_mounts, mount_source, parse_mount
from shoal.dockerfile.run_mounts import BindMount, CacheMount, RunMount, SecretMount, SshMount, TmpfsMount
from shoal.errors import InvalidInput

MOUNTS: list[tuple[str, RunMount]] = [
    ("target=/a", BindMount("/a")),
    ("type=bind,dst=/a,src=b,from=build", BindMount("/a", "b", "build")),
    ("destination=.", BindMount(".")),
    ("type=bind", BindMount(".")),
    ("from=build,rw", BindMount(".", from_stage="build", writable=True)),
    ("target=/a,rw", BindMount("/a", writable=True)),
    ("target=/a,readwrite=false", BindMount("/a")),
    ("target=/a,readonly=0", BindMount("/a", writable=True)),
    ('"target=/a,b"', BindMount("/a,b")),
    ("TYPE=Cache,Target=/a", CacheMount("/a", "/a")),
    ("type=cache,target=/a/./b/", CacheMount("/a/./b/", "/a/b")),
    (
        "type=cache,id=x,target=/a,sharing=locked,from=base,source=/s,mode=0700,uid=1,gid=2,ro",
        CacheMount("/a", "x", "locked", "/s", "base", read_only=True, mode=0o700, uid=1, gid=2),
    ),
    ("type=tmpfs,target=/a", TmpfsMount("/a")),
    ("type=tmpfs,target=/a,size=128m", TmpfsMount("/a", 128 << 20)),
    ("type=secret,id=aws", SecretMount("aws", "/run/secrets/aws")),
    ("type=secret,target=/root/.aws/credentials", SecretMount("credentials", "/root/.aws/credentials")),
    ("type=secret,id=k,env=KEY", SecretMount("k", "", "KEY")),
    ("type=secret,id=k,env=KEY,target=/k,required,mode=444", SecretMount("k", "/k", "KEY", True, 0o444)),
    ("type=ssh", SshMount()),
    ("type=ssh,id=git,target=/s,required=true,uid=5", SshMount("git", "/s", True, uid=5)),
    ("type=$kind,target=$where", TmpfsMount("/w")),
]


@pytest.mark.parametrize(("text", "expected"), MOUNTS)
def test_mounts_have_keys_and_defaults(text: str, expected: RunMount) -> None:
    values = {"$kind": "tmpfs", "$where": "/w"}
    assert parse_mount(text, lambda value: values.get(value, value)) == expected


FAULTS = [
    ("typ=tmpfs", "unexpected key 'typ' in 'typ=tmpfs' (did you mean type?)"),
    ("type=tmp,target=/a", 'unsupported mount type "tmp" (did you mean tmpfs?)'),
    ("type=tmpfs", "the mount needs a target"),
    ("type=cache,id=x", "the mount needs a target"),
    ("type=cache,target=/", 'invalid mount target "/"'),
    ("type=tmpfs,target=/..", 'invalid mount target "/.."'),
    ("target", "invalid field 'target' must be a key=value pair"),
    ("target=/a,from=$x", "'from' doesn't support variable expansion, define alias stage instead"),
    ("target=/a,size=1", "unexpected key 'size' for mount type 'bind'"),
    ("type=ssh,env=A", "unexpected key 'env' for mount type 'ssh'"),
    ("target=/a,rw=maybe", "invalid value for rw: 'maybe'; use true or false"),
    ("target=/a,rw,ro", "use either rw or ro"),
    ("type=cache,target=/a,sharing=lock", "unsupported sharing value 'lock' (did you mean locked?)"),
    ("type=cache,target=/a,mode=888", "invalid value '888' for mode: must be an octal number up to 7777"),
    ("type=cache,target=/a,mode=77777", "invalid value '77777' for mode: must be an octal number up to 7777"),
    ("type=cache,target=/a,uid=-1", "invalid value '-1' for uid: must be a number up to 4294967294"),
    ("type=tmpfs,target=/a,size=x", "'x' is not a valid size; use a value such as 64M or 1.5G"),
    ("type=secret", "a secret mount needs an id or a target"),
    ('"target=/a', "'\"target=/a' must be a comma-separated list of key=value"),
]


@pytest.mark.parametrize(("text", "expected"), FAULTS)
def test_faults_of_mounts_are_those_of_the_file(text: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_mount(text, str)
    assert str(error.value) == expected
    with pytest.raises(InvalidInput) as error:
        parse_dockerfile(f"FROM a\nRUN --mount='{text}' x\n")
    assert [str(fault) for fault in error.value.faults] == [f"Dockerfile:2: {expected}"]


def test_values_of_variables_are_checked_later() -> None:
    check_mounts(["type=$kind", "type=cache,target=/a,sharing=$how"])
    with pytest.raises(InvalidInput) as error:
        check_mounts(["typ=$x", "size=1,target=/a"])
    assert len(error.value.faults) == 2
    with pytest.raises(InvalidInput, match="has 129 mounts; the maximum is 128"):
        check_mounts(["target=/a"] * (MAX_MOUNTS + 1))


def test_mounts_say_where_their_files_are_from() -> None:
    texts = ("target=/a", "target=/a,from=b", "type=cache,target=/a", "type=cache,from=c,target=/a", "type=ssh")
    assert [mount_source(text) for text in texts] == ["", "b", None, "c", None]


PARTS = (
    "type=",
    "bind",
    "cache",
    "secret",
    "target=",
    "/a",
    ",",
    "id=",
    "mode=",
    "0",
    "uid=",
    '"',
    "rw",
    "size=",
    "$x",
)


@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=4), max_size=12))
def test_any_text_is_a_mount_or_refused(parts: list[str]) -> None:
    text = "".join(parts)
    try:
        mount = parse_mount(text, lambda value: value.replace("$x", "y"))
    except InvalidInput as error:
        assert str(error)
    else:
        assert isinstance(mount, SecretMount | SshMount) or mount.target
