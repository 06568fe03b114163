"""Why an image that containers use cannot be removed, in Docker's words. Pure.

moby, daemon/images/image_delete.go.
"""

from manager.images.image_records import FoundImage, contents_of
from manager.images.image_users import containers_by_digest, is_running
from manager.store.tables import View
from shoal.container_ids import short_container_id
from shoal.errors import Refused
from shoal.image_reference import parse

_ID_DIGITS = 12


def check_containers(view: View, found: FoundImage, *, force: bool) -> bool:
    """Whether containers use an image whose last name is to go: it loses its names then, and stays.

    Raises:
        Refused: that takes `force`, or is not possible.
    """
    users = containers_by_digest(view)
    own = sorted({each for digest in contents_of(found.records) for each in users.get(digest, ())})
    if not own:
        return False
    running = next((each for each in own if is_running(view, each)), None)
    container = short_container_id(running or own[0])
    if found.name:
        if force:
            return True
        raise Refused(
            f'conflict: unable to remove repository reference "{parse(found.name).familiar}" (must force) - '
            f"container {container} is using its referenced image {_short_id(found)}"
        )
    can_be_forced = running is None and bool(found.names)
    if force and can_be_forced:
        return True
    raise Refused(
        f"conflict: unable to delete {_short_id(found)} ({'must' if can_be_forced else 'cannot'} be forced) - "
        f"image is being used by {'running' if running else 'stopped'} container {container}"
    )


def _short_id(found: FoundImage) -> str:
    """Of the image ID; of the digest where the record has no platform."""
    digests = (one.config_digest for each in found.records for one in each.variants)
    return next(digests, found.digest).removeprefix("sha256:")[:_ID_DIGITS]
