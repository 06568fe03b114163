"""Containers: the documents of the API from the cluster's messages and back. Pure."""
