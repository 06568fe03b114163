"""From evaluated stages to a graph of what has to be done, and the keys of its results in a cache. Pure."""
