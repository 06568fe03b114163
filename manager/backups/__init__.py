"""Backups of the cluster's records: made at one revision, stored on a schedule, restored to an empty etcd."""
