"""Files of containers between browsers and the tar archives of the control API. Pure."""
