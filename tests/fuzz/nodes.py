"""What a node and one who wants to be one send: messages of a session, tokens, requests for certificates, addresses."""

from collections.abc import Callable

from google.protobuf.message import DecodeError, Message

from manager.dispatcher.sessions import agent_input
from shoal.api.v1.dispatcher_pb2 import AgentMessage, StatusBatch, VolumeReport
from shoal.api.v1.node_pb2 import NetworkCondition, NodeDescription
from shoal.errors import Exhausted, InvalidInput
from shoal.identity import certificates, join_token
from shoal.rpc.host_port import parse as parse_address

NOW_MS = 1_900_000_000_000
_KEY = certificates.new_key()

EXAMPLES = (
    certificates.request(_KEY),
    b"-----BEGIN CERTIFICATE REQUEST-----\n"
    b"MIG6MGICAQAwADBZMBMGByqGSM24AgEGCCqGSM49AwEHA0IABLL6ydcbmqaK1NFg\n"
    b"stEvFcjjT/+dqo7ggdgt2KK93WvbxI+8uLecaRKq1q91iviSXfrfS4FROP80gDjd\n"
    b"JWkMbY2gADAKBggqhkjOPQQDAgNIADBFAiEA+WcQexxNYxdQvYGdZzKT8wq+JnG0\n"
    b"5YbghTpZ3JDRODQCICxT8H6HqUiSY6P8Pum0m130HKDaq6elT/c8TukpIxSb\n"
    b"-----END CERTIFICATE REQUEST-----\n",
    b"SHOAL-1-" + b"a" * 60,
    b"[2001:db8::1]:7442",
    NodeDescription(hostname="h1", address="192.0.2.1", vtep_mac="02:56:00:00:00:01").SerializeToString(),
    StatusBatch(sequence=1).SerializeToString(),
)


def fuzz_messages(data: bytes) -> None:
    """Whatever a session's message holds, what is kept of it is bounded and can be stored."""
    _admit(NodeDescription, agent_input.sanitize_description, data)
    _admit(NetworkCondition, agent_input.sanitize_condition, data)
    _admit(VolumeReport, agent_input.sanitize_volumes, data)
    try:
        batch = StatusBatch.FromString(data)
        AgentMessage.FromString(data)
    except DecodeError:
        return
    try:
        kept = agent_input.sanitize_statuses(batch, NOW_MS)
    except Exhausted:
        return
    assert all(each.message.isprintable() and each.running_at_ms <= NOW_MS * 2 for each in kept)


def _admit(kind: Callable[[], Message], admit: Callable[..., Message], data: bytes) -> None:
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return
    try:
        kept = admit(message, NOW_MS)
    except (InvalidInput, Exhausted) as error:
        assert str(error).isprintable() and len(str(error)) < 10_000
        return
    assert admit(kept, NOW_MS) == kept, "what was admitted once is admitted as it is"


def fuzz_join_token(data: bytes) -> None:
    """A token or a line that says why not; the text itself, which may be nearly a secret, is not shown."""
    text = data.decode("utf-8", "replace")
    try:
        token = join_token.parse(text)
    except InvalidInput as error:
        assert len(str(error)) < 500
        return
    assert join_token.parse(str(token)) == token


def fuzz_certificate_request(data: bytes) -> None:
    """A key that can be signed for, or a refusal."""
    try:
        certificates.requested_key(data)
    except InvalidInput as error:
        assert len(str(error)) < 1_000


def fuzz_addresses(data: bytes) -> None:
    """`host:port`, the same however it is written again."""
    try:
        where = parse_address(data.decode("utf-8", "replace"))
    except InvalidInput:
        return
    assert parse_address(str(where)) == where
    assert 0 < where.port < 1 << 16
