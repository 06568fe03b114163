"""Property tests have no deadline for an example: on a machine that is busy with other work it would say nothing."""

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
