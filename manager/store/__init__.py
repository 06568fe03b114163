"""Keeps the cluster's records: their layout in etcd, a cache of them, and commits."""
