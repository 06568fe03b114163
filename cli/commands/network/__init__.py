"""`shoal network …`. The commands are beside this file, each imported only when it is called."""

from cli.lazy_group import LazyGroup

COMMANDS = {
    "ls": ("cli.commands.network.network_listing:list_networks", "List networks"),
    "create": ("cli.commands.network.network_changes:create", "Create a network"),
    "inspect": ("cli.commands.network.network_listing:inspect", "Display detailed information on one or more networks"),
    "rm": ("cli.commands.network.network_changes:remove", "Remove one or more networks"),
    "prune": ("cli.commands.network.network_changes:prune", "Remove all unused networks"),
    "connect": ("cli.commands.network.connect:connect", "Connect a container or a service to a network"),
    "disconnect": ("cli.commands.network.connect:disconnect", "Disconnect a container or a service from a network"),
    "check": (
        "cli.commands.network.connectivity_check:check",
        "Check connectivity between nodes and to published ports",
    ),
}

command = LazyGroup("network", parts=COMMANDS, help="Manage networks.")
