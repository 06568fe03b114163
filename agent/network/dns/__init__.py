"""Names for containers: a zone made from the planner's tables, and the server that answers from it."""
