"""The certificate authority of the cluster: gives nodes, managers and admins their identities."""
