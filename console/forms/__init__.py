"""Forms of the pages as requests of the control API: notations are those of the command line. Pure."""
