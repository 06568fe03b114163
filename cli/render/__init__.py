"""Output: tables, documents, progress, logs, errors."""
