"""Services: their calls, submission, revisions, updates, progress and verification."""
