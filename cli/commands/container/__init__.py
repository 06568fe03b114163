"""`shoal container …`. The commands are beside this file, each imported only when it is called; most are there at the
top level too, as `docker run` is `docker container run`.
"""

from cli.lazy_group import LazyGroup

COMMANDS = {
    "run": ("cli.commands.container.run:run", "Create and run a new container from an image"),
    "create": ("cli.commands.container.create:create", "Create a new container"),
    "start": ("cli.commands.container.start:start", "Start one or more stopped containers"),
    "attach": ("cli.commands.attach", "Attach to the main process of a container"),
}

command = LazyGroup("container", parts=COMMANDS, help="Manage containers.")
