"""Images as a whole: copied between repositories, kept in the cluster's own, read from and written to archives."""
