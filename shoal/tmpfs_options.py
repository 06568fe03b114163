"""Options of a tmpfs beside size and mode (tmpfs(5), mount(8)). Shared: the command line and managers agree on them."""

import re

FLAGS = frozenset(
    f"{no}{name}"
    for name in ("suid", "dev", "exec", "atime", "diratime", "relatime", "strictatime")
    for no in ("", "no")
)
NUMBERS = ("uid", "gid", "nr_inodes")
KNOWN = (*sorted(FLAGS), *(f"{name}=NUMBER" for name in NUMBERS))

_NUMBER = re.compile(rf"(?:{'|'.join(NUMBERS)})=\d{{1,10}}")


def is_option(text: str) -> bool:
    """Whether a tmpfs may have it."""
    return text in FLAGS or _NUMBER.fullmatch(text) is not None
