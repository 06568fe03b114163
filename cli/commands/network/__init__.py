"""`shoal network …`. The commands are beside this file, each imported only when it is called."""

from cli.lazy import LazyGroup

PARTS = {
    "ls": ("cli.commands.network.look:list_networks", "List networks"),
    "create": ("cli.commands.network.change:create", "Make a network"),
    "inspect": ("cli.commands.network.look:inspect", "Show everything about networks"),
    "rm": ("cli.commands.network.change:remove", "Remove networks"),
    "prune": ("cli.commands.network.change:prune", "Remove all networks that no service uses"),
    "connect": ("cli.commands.network.attach:connect", "Attach a service to a network"),
    "disconnect": ("cli.commands.network.attach:disconnect", "Detach a service from a network"),
    "check": ("cli.commands.network.check:check", "Probe from every node to every other one"),
}

command = LazyGroup("network", parts=PARTS, help="Manage networks.")
