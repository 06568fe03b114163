"""Creation requests as clients send them, for property tests: valid ones, with most keys."""

from typing import Any

from hypothesis import strategies as st

_names = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True)
_words = st.text(alphabet="abcxyz /=.", min_size=1, max_size=8)
_paths = st.from_regex(r"/[a-z]{1,4}(/[a-z]{1,4})?", fullmatch=True)
_counts = st.integers(0, 1 << 31)


def _maybe(strategy: st.SearchStrategy[Any], empty: Any = None) -> st.SearchStrategy[Any]:
    return st.just(empty) | strategy


def _list(strategy: st.SearchStrategy[Any], **bounds: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(strategy, max_size=3, **bounds)


@st.composite
def creation_requests(draw: st.DrawFn) -> dict[str, Any]:
    """The body of a creation."""
    config = draw(_configs())
    config["HostConfig"] = draw(_hosts())
    config["HostConfig"] |= draw(_mounts())
    mode = draw(st.sampled_from(["default", "bridge", "host", "none", "n1", "container:other"]))
    config["HostConfig"]["NetworkMode"] = mode
    endpoint = {
        "Aliases": draw(_list(_names, unique=True)),
        "IPAMConfig": {"IPv4Address": draw(_maybe(st.just("10.0.0.9"), ""))},
    }
    config["MacAddress"] = draw(_maybe(st.just("02:42:ac:11:00:02"), ""))
    config["NetworkingConfig"] = {"EndpointsConfig": {"n1": endpoint} if mode == "n1" else {}}
    return config


@st.composite
def _configs(draw: st.DrawFn) -> dict[str, Any]:
    interactive = draw(st.booleans())
    return {
        "Image": draw(st.sampled_from(["alpine:latest", "registry:5000/a/b:1"])),
        "Hostname": draw(_maybe(_names, "")),
        "User": draw(_maybe(_names, "")),
        "Tty": draw(st.booleans()),
        "OpenStdin": interactive,
        "StdinOnce": interactive and draw(st.booleans()),
        "Env": draw(_maybe(_list(st.builds("{}={}".format, _names, _words)))),
        "Cmd": draw(_maybe(_list(_words))),
        "Entrypoint": draw(_maybe(_list(_words))),
        "WorkingDir": draw(_maybe(_paths, "")),
        "Labels": draw(st.dictionaries(_names, _words, max_size=3)),
        "StopSignal": draw(_maybe(st.sampled_from(["SIGTERM", "9"]), "")),
        "StopTimeout": draw(_maybe(st.integers(0, 1000))),
        "Healthcheck": draw(_maybe(_healthchecks())),
    }


@st.composite
def _healthchecks(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "Test": draw(st.sampled_from([["NONE"], ["CMD", "x", "y"], ["CMD-SHELL", "x y"], []])),
        "Interval": draw(st.integers(0, 100)) * 1_000_000,
        "Retries": draw(st.integers(0, 5)),
    }


@st.composite
def _hosts(draw: st.DrawFn) -> dict[str, Any]:
    memory = draw(_maybe(st.integers(6 << 20, 1 << 40), 0))
    quota = draw(st.booleans())
    return {
        "AutoRemove": False,
        "RestartPolicy": {"Name": draw(st.sampled_from(["no", "always", "unless-stopped", "on-failure"]))},
        "PortBindings": draw(
            st.dictionaries(
                st.builds("{}/{}".format, st.integers(1, 65535), st.sampled_from(["tcp", "udp"])),
                st.just([{"HostIp": "", "HostPort": ""}]) | st.just([{"HostIp": "127.0.0.1", "HostPort": "80"}]),
                max_size=2,
            )
        ),
        "CapAdd": draw(_maybe(_list(st.sampled_from(["NET_ADMIN", "ALL"]), unique=True))),
        "CapDrop": draw(_maybe(_list(st.sampled_from(["MKNOD", "ALL"]), unique=True))),
        "Dns": draw(_list(st.sampled_from(["1.1.1.1", "9.9.9.9"]))),
        "ExtraHosts": draw(_maybe(_list(st.builds("{}:10.0.0.1".format, _names)))),
        "GroupAdd": draw(_maybe(_list(_names))),
        "IpcMode": draw(st.sampled_from(["", "private", "host", "container:other"])),
        "Links": draw(_maybe(_list(st.sampled_from(["db", "db:alias", "cache:c"]), unique=True))),
        "PidMode": draw(st.sampled_from(["", "host", "container:other"])),
        "UTSMode": draw(st.sampled_from(["", "host"])),
        "OomScoreAdj": draw(st.integers(-1000, 1000)),
        "Privileged": draw(st.booleans()),
        "ReadonlyRootfs": draw(st.booleans()),
        "SecurityOpt": draw(_maybe(st.just(["no-new-privileges"]) | st.just(["seccomp=unconfined"]))),
        "ShmSize": draw(_maybe(st.integers(1, 1 << 40), 0)),
        "Sysctls": draw(st.dictionaries(_names, _words, max_size=2)),
        "LogConfig": draw(
            st.sampled_from(
                [{"Type": "", "Config": {}}, {"Type": "none"}, {"Type": "json-file", "Config": {"max-file": "3"}}]
            )
        ),
        "CpuShares": draw(_counts),
        "NanoCpus": 0 if quota else draw(_counts),
        "CpuPeriod": draw(_counts) if quota else 0,
        "CpuQuota": draw(_counts) if quota else 0,
        "CpusetCpus": draw(st.sampled_from(["", "0-1"])),
        "Memory": memory,
        "MemorySwap": draw(st.sampled_from([0, -1, 2 * memory])) if memory else 0,
        "MemorySwappiness": draw(st.sampled_from([None, -1, 0, 60])),
        "MemoryReservation": draw(_counts),
        "OomKillDisable": draw(st.booleans()),
        "PidsLimit": draw(st.sampled_from([None, 0, -1, 100])),
        "Ulimits": draw(_list(st.builds(lambda n: {"Name": "nofile", "Soft": n, "Hard": n}, _counts))),
        "Devices": draw(
            _list(st.builds(lambda p: {"PathOnHost": p, "PathInContainer": p, "CgroupPermissions": "rwm"}, _paths))
        ),
        "BlkioWeight": draw(st.integers(0, 1000)),
        "BlkioDeviceReadBps": draw(_list(st.builds(lambda p, r: {"Path": p, "Rate": r}, _paths, _counts))),
        "DeviceRequests": draw(
            _maybe(
                st.just([{"Driver": "nvidia", "Count": 2, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}])
            )
        ),
    }


@st.composite
def _mounts(draw: st.DrawFn) -> dict[str, Any]:
    targets = iter(draw(st.lists(_paths, min_size=4, max_size=4, unique=True)))
    binds = draw(_maybe(st.sampled_from(["v1:{}", "/srv:{}:ro", "v2:{}:nocopy"])))
    mount = draw(
        _maybe(
            st.sampled_from(
                [
                    {"Type": "volume", "Source": "v3", "VolumeOptions": {"Subpath": "a"}},
                    {"Type": "bind", "Source": "/x", "ReadOnly": True},
                    {
                        "Type": "volume",
                        "Source": "v4",
                        "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"a": "b"}}},
                    },
                ]
            )
        )
    )
    tmpfs = draw(st.sampled_from(["", "size=65536,mode=1770", "ro,noexec"]))
    found: dict[str, Any] = {"Binds": [binds.format(next(targets))] if binds else None}
    if mount:
        found["Mounts"] = [{**mount, "Target": next(targets)}]
    if draw(st.booleans()):
        found["Tmpfs"] = {next(targets): tmpfs}
    return found
