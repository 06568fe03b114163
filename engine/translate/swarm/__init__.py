"""The swarm side: services, tasks, nodes, secrets, configs and the cluster itself. Pure."""
