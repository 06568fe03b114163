"""Images and builds: the documents and streams of the API. Pure."""
