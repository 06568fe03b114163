"""Creates, attaches and deletes CSI volumes; runs on the leader."""
