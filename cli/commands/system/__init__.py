"""`shoal system …`. The commands are beside this file, each imported only when it is called."""

from cli.lazy_group import LazyGroup

COMMANDS = {
    "df": ("cli.commands.system.system_df:show_usage", "Show disk usage of images, containers and volumes"),
    "events": ("cli.commands.events", "Stream events from the cluster"),
    "info": ("cli.commands.system.system_info:info", "Display cluster-wide information"),
    "prune": ("cli.commands.system.system_prune:prune", "Remove unused data"),
}

command = LazyGroup("system", parts=COMMANDS, help="Manage the cluster's data.")
