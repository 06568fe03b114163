"""Creates a join token through the manager on this host."""

from pathlib import Path

import grpc

from manager.manager_identity import ADDRESS_FILE
from shoal.api.v1.control_pb2 import CreateJoinTokenRequest
from shoal.api.v1.control_pb2_grpc import ControlStub
from shoal.errors import NotFound
from shoal.identity.identity import Identity
from shoal.rpc.channel import connect
from shoal.rpc.status_mapping import to_shoal_error

ANSWER_SECONDS = 10.0


def create_join_token(state_directory: Path, *, hours: float, uses: int) -> str:
    """A new join token from the running manager.

    Args:
        hours: until it expires.
        uses: how many hosts may join with it.
    Raises:
        InvalidInput: the lifetime or the number of uses is out of range.
        NotFound: no manager has run with this state directory.
        Unavailable: it does not respond.
    """
    admin = state_directory / "admin"
    identity = Identity.load(admin)
    try:
        address = (admin / ADDRESS_FILE).read_text().strip()
    except FileNotFoundError:
        raise NotFound(f"{admin / ADDRESS_FILE} does not exist; start the manager first") from None
    with connect([address], identity) as channel:
        try:
            request = CreateJoinTokenRequest(ttl_ms=round(hours * 3_600_000), uses=uses)
            answer = ControlStub(channel).CreateJoinToken(request, timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            raise to_shoal_error(error, address=f"the manager at {address}") from error
    return str(answer.token)
