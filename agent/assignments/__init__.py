"""The state that managers assigned to this node, and the changes to it."""
