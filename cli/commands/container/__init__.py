"""`shoal container …`. The commands are beside this file, each imported only when it is called; most are there at the
top level too, as `docker run` is `docker container run`.
"""

from cli.lazy_group import LazyGroup

COMMANDS = {
    "attach": ("cli.commands.attach", "Attach to the main process of a container"),
}

command = LazyGroup("container", parts=COMMANDS, help="Manage containers.")
