"""Where files of a build come from: contexts, archives, the web, git."""
