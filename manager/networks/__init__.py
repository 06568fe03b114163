"""Networks: their calls, services' references to them, the routing mesh, conflicts with ports of hosts."""
