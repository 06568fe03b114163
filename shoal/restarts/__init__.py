"""When what has ended is started again: the decisions that the planner and a node without a manager share. Pure."""
