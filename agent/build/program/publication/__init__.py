"""What becomes of the result: layers, documents, upload, files."""
