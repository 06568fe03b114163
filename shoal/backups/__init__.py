"""The file format of backups of a cluster's records: written by managers, read by managers and by the command line."""
