"""Which managers' etcds are members of the cluster's etcd, and the next change of that."""
