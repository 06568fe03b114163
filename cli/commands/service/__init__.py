"""`shoal service …`. The commands are beside this file, each imported only when it is called."""

from cli.lazy_group import LazyGroup

COMMANDS = {
    "create": ("cli.commands.service.create:create", "Create a new service"),
    "update": ("cli.commands.service.update:update", "Update a service"),
    "scale": ("cli.commands.service.scale:scale", "Scale one or more services"),
    "rollback": ("cli.commands.service.scale:rollback", "Roll back a service to an earlier revision"),
    "rm": ("cli.commands.service.scale:remove", "Remove one or more services"),
    "ls": ("cli.commands.service.service_listing:list_services", "List services"),
    "ps": ("cli.commands.service.service_listing:tasks", "List the tasks of one or more services"),
    "inspect": ("cli.commands.service.service_listing:inspect", "Display detailed information on one or more services"),
    "logs": ("cli.commands.service.service_logs:logs", "Fetch the logs of a service or task"),
    "history": ("cli.commands.service.revision_history:history", "List the revisions of a service"),
    "diff": ("cli.commands.service.revision_history:diff", "Show changes between two revisions"),
    "pause": ("cli.commands.service.update_control:pause", "Pause an update"),
    "resume": ("cli.commands.service.update_control:resume", "Resume a paused update"),
    "promote": ("cli.commands.service.update_control:promote", "Promote the canaries of an update"),
    "run": ("cli.commands.service.job_run:run", "Run a scheduled job now"),
    "rebalance": ("cli.commands.service.rebalance:rebalance", "Rebalance tasks across nodes"),
}

command = LazyGroup("service", parts=COMMANDS, help="Manage services.")
