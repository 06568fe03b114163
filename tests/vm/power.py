"""What the machine that boots several times and its owner agree upon."""

POWER_OFF = "the power fails now"
"""A line of the machine, at which its owner ends it."""

STAGES = ("before", "after a reboot", "after a failure of the power")
"""One boot each."""
