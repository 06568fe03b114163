"""Talks to etcd and runs it: the implementation of the store's `Backend`."""
