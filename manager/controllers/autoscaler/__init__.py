"""Chooses the number of replicas of services by what their tasks use. Runs on the leader."""
