"""What all task runners of the node share."""
