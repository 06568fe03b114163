"""Count the entries of an encoded message before it is parsed to objects. No I/O.

The parser counts, with other types: the same messages, of which only the fields that are messages are left, and those
are bytes. It knows every form that a message may have, and is as fast as it is in C.
"""

from collections.abc import Mapping

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

_BYTES, _REPEATED = FieldDescriptorProto.TYPE_BYTES, FieldDescriptorProto.LABEL_REPEATED
_SkeletonType = tuple[type[Message], tuple[tuple[str, str], ...]]
"""A message's skeleton type, and the names of its fields, each with the full name of the type it had."""


class EntryCounter:
    """Counts the messages within messages of one type, at any depth."""

    def __init__(self, kind: Descriptor) -> None:
        self._kind = kind.full_name
        self._skeletons = _make_skeletons(_nested_types(kind))

    def count(self, encoded: bytes, limit: int) -> int:
        """To `limit` + 1. Of bytes that are no message, as many as can be read."""
        number, waiting = 0, [(self._kind, encoded)]
        while waiting:
            name, body = waiting.pop()
            kind, fields = self._skeletons[name]
            try:
                skeleton = kind.FromString(body)
            except DecodeError:
                continue
            for field, inner in fields:
                bodies = getattr(skeleton, field)
                number += len(bodies)
                if number > limit:
                    return limit + 1
                if self._skeletons[inner][1]:
                    waiting += [(inner, each) for each in bodies]
        return number


def _nested_types(kind: Descriptor) -> dict[str, Descriptor]:
    """The type, and all that are in it, by their full names."""
    reached, waiting = {kind.full_name: kind}, [kind]
    while waiting:
        for field in waiting.pop().fields:
            inner = field.message_type
            if inner is not None and inner.full_name not in reached:
                reached[inner.full_name] = inner
                waiting.append(inner)
    return reached


def _make_skeletons(kinds: Mapping[str, Descriptor]) -> dict[str, _SkeletonType]:
    names = {name: f"M{number}" for number, name in enumerate(kinds)}
    file = FileDescriptorProto(name="skeleton.proto", syntax="proto3")
    for name, kind in kinds.items():
        fields = [
            # A message that comes in several pieces is one; as bytes only the last piece would be left.
            FieldDescriptorProto(name=f"f{field.number}", number=field.number, type=_BYTES, label=_REPEATED)
            for field in kind.fields
            if field.message_type is not None
        ]
        file.message_type.append(DescriptorProto(name=names[name], field=fields))
    pool = DescriptorPool()
    pool.Add(file)
    return {
        name: (
            GetMessageClass(pool.FindMessageTypeByName(names[name])),
            tuple((f"f{each.number}", each.message_type.full_name) for each in kind.fields if each.message_type),
        )
        for name, kind in kinds.items()
    }
