"""Commands, one module or package per resource."""
