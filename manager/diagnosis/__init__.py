"""`shoal cluster doctor`: checks of the cluster, its managers and its nodes."""
