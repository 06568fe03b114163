"""Messages of any content, for property tests: whatever the protocol can carry, honest or not."""

from random import Random
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

M = TypeVar("M", bound=Message)

_RANGES = {
    "INT32": (-(1 << 31), (1 << 31) - 1),
    "INT64": (-(1 << 63), (1 << 63) - 1),
    "UINT32": (0, (1 << 32) - 1),
    "UINT64": (0, (1 << 64) - 1),
    "ENUM": (-5, 500),
}
_MOST_BYTES = 1 << 20
"""Of many equal entries of a list: more than any request may have."""
_SIGNS = "aZ9 .:/-\n\r\t\x00\x1b\x7f\x9b\u00a0\u2028é…漢🙂"


def any_message(kind: type[M], seed: int) -> M:
    """A message of this kind, the same for the same seed."""
    return _message(kind, Random(seed))


def change_one(message: Message, seed: int) -> None:
    """Put anything into one field of the message, or of a message in it; the same for the same seed."""
    random = Random(seed)
    field: Any = random.choice(message.DESCRIPTOR.fields)
    while field.message_type is not None and not field.is_repeated and field.message_type.fields:
        if random.random() < 0.2:
            break
        message = getattr(message, field.name)
        field = random.choice(message.DESCRIPTOR.fields)
    message.ClearField(field.name)
    _fill(message, field, random)


def _message(kind: type[M], random: Random) -> M:
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if random.random() < 0.7:
            _fill(message, field, random)
    return message


def _fill(message: Message, field: Any, random: Random) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _fill_map(message, field, random)
    elif field.is_repeated:
        one = _one(field, random)
        few = [one, *(_one(field, random) for _ in range(3))]
        many = _length(random)
        if isinstance(one, Message) and one.ByteSize() * many > _MOST_BYTES:
            many = 0  # else lists within lists within lists take all memory
        getattr(message, field.name).extend([*few, *[one] * many])
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(_one(field, random))
    else:
        setattr(message, field.name, _one(field, random))


def _fill_map(message: Message, field: Any, random: Random) -> None:
    value = field.message_type.fields_by_name["value"]
    entries = getattr(message, field.name)
    for _ in range(_length(random)):
        if value.message_type is not None:
            entries[_text(random)].CopyFrom(_one(value, random))
        else:
            entries[_text(random)] = _one(value, random)


def _length(random: Random) -> int:
    return random.choice((0, 1, 2, 300))


def _one(field: Any, random: Random) -> Any:
    if field.message_type is not None:
        return _message(GetMessageClass(field.message_type), random)
    if field.type == field.TYPE_STRING:
        return _text(random)
    if field.type == field.TYPE_BYTES:
        return random.randbytes(random.choice((0, 31, 32, 600)))
    if field.type == field.TYPE_BOOL:
        return random.random() < 0.5
    if field.type in (field.TYPE_DOUBLE, field.TYPE_FLOAT):
        return random.choice((0.0, -1.0, 0.5, 1e30, float("inf"), float("nan")))
    least, most = _RANGES[next(name for name in _RANGES if field.cpp_type == getattr(field, f"CPPTYPE_{name}"))]
    return random.choice((least, most, random.randint(least, most), random.randint(0, 200)))


def _text(random: Random) -> str:
    return "".join(random.choices(_SIGNS, k=random.choice((0, 1, 12, 12, 700))))
