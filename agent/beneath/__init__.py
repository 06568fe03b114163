"""Files below a directory that somebody else may change at the same time, by descriptor."""
