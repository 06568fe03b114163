"""The swarm side: services, tasks, nodes, secrets, configs, and what hides it."""
