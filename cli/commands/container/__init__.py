"""`shoal container …`. The commands are beside this file, each imported only when it is called; most are there at the
top level too, as `docker run` is `docker container run`.
"""

from cli.lazy_group import LazyGroup

COMMANDS = {
    "run": ("cli.commands.container.run:run", "Create and run a new container from an image"),
    "create": ("cli.commands.container.create:create", "Create a new container"),
    "start": ("cli.commands.container.start:start", "Start one or more stopped containers"),
    "attach": ("cli.commands.attach", "Attach to the main process of a container"),
    "commit": ("cli.commands.container.container_commit", "Create a new image from a container's changes"),
    "cp": ("cli.commands.container.copy_files", "Copy files between a container and this machine"),
    "diff": ("cli.commands.container.container_diff", "List what a container has changed of its image's files"),
    "exec": ("cli.commands.exec", "Run a command in a running container"),
    "export": ("cli.commands.container.container_export", "Export a container's root file system as a tar archive"),
    "inspect": (
        "cli.commands.container.container_inspect:inspect",
        "Display detailed information on one or more containers",
    ),
    "kill": ("cli.commands.container.container_stop:kill", "Kill one or more running containers"),
    "logs": ("cli.commands.container.container_logs:logs", "Fetch the logs of a container"),
    "ls": ("cli.commands.container.container_listing:list_containers", "List containers"),
    "pause": ("cli.commands.container.container_stop:pause", "Pause all processes within one or more containers"),
    "port": ("cli.commands.container.container_processes:port", "List port mappings of a container"),
    "prune": ("cli.commands.container.container_removal:prune", "Remove all stopped containers"),
    "rename": ("cli.commands.container.container_changes:rename", "Rename a container"),
    "restart": ("cli.commands.container.container_stop:restart", "Restart one or more containers"),
    "rm": ("cli.commands.container.container_removal:remove", "Remove one or more containers"),
    "stats": ("cli.commands.stats", "Display resource usage of containers"),
    "stop": ("cli.commands.container.container_stop:stop", "Stop one or more running containers"),
    "top": ("cli.commands.container.container_processes:top", "Display the running processes of a container"),
    "unpause": ("cli.commands.container.container_stop:unpause", "Unpause all processes within one or more containers"),
    "update": ("cli.commands.container.container_changes:update", "Update the limits of one or more containers"),
    "wait": ("cli.commands.container.container_wait:wait", "Block until containers stop, then print their exit codes"),
}
ALIASES = {"list": "ls", "ps": "ls", "remove": "rm"}

command = LazyGroup("container", parts=COMMANDS, aliases=ALIASES, help="Manage containers.")
