"""The cluster's records as received, and what follows from them: overlay tables, service map, names. Pure."""
