"""`shoal service …`. The commands are beside this file, each imported only when it is called."""

from cli.lazy import LazyGroup

PARTS = {
    "create": ("cli.commands.service.create:create", "Make a service of an image"),
    "update": ("cli.commands.service.update:update", "Change a service"),
    "scale": ("cli.commands.service.change:scale", "Set how many tasks services run"),
    "rollback": ("cli.commands.service.change:rollback", "Return a service to an earlier revision"),
    "rm": ("cli.commands.service.change:remove", "Remove services"),
    "ls": ("cli.commands.service.look:list_services", "List services"),
    "ps": ("cli.commands.service.look:tasks", "List the tasks of services"),
    "inspect": ("cli.commands.service.look:inspect", "Show everything about services"),
    "logs": ("cli.commands.service.logs:logs", "Show what the containers of a service have written"),
    "history": ("cli.commands.service.revisions:history", "List the revisions of a service"),
    "diff": ("cli.commands.service.revisions:diff", "Show what changed between two revisions"),
    "pause": ("cli.commands.service.steer:pause", "Stop an update until it is resumed"),
    "resume": ("cli.commands.service.steer:resume", "Go on with a paused update"),
    "promote": ("cli.commands.service.steer:promote", "Let an update go on after its canaries"),
    "rebalance": ("cli.commands.service.rebalance:rebalance", "Even tasks out over the nodes"),
}

command = LazyGroup("service", parts=PARTS, help="Manage services.")
