"""What a service's spec says. The room of the planner that other rooms import."""
