"""LLB as far as it is spoken: a definition that is one image. Pure.

Clients get one as the result of a build, and give it back where another build has that result as a context.
"""

import hashlib

from google.protobuf.message import DecodeError

from engine.buildkit.v1.ops_pb2 import Definition, Input, Op, OpMetadata, SourceOp
from shoal.errors import InvalidInput

_IMAGE = "docker-image://"
_REFUSED = "LLB of clients is not supported: builds are of Dockerfiles"


def definition_of(reference: str) -> Definition:
    """An image as a definition.

    Args:
        reference: with its digest.
    """
    source = Op(source=SourceOp(identifier=_IMAGE + reference)).SerializeToString(deterministic=True)
    digest = f"sha256:{hashlib.sha256(source).hexdigest()}"
    result = Op(inputs=[Input(digest=digest, index=0)]).SerializeToString(deterministic=True)
    return Definition(operations=[source, result], metadata={digest: OpMetadata()})


def image_of(definition: Definition | None, name: str) -> str:
    """The context that a definition is: "docker-image://…".

    Args:
        name: of the context, for the error.
    Raises:
        InvalidInput: it is anything else.
    """
    operations: list[bytes] = list(definition.operations) if definition is not None else []
    try:
        sources = [op.source.identifier for each in operations if (op := Op.FromString(each)).HasField("source")]
    except DecodeError:
        sources = []
    if len(operations) != 2 or len(sources) != 1 or not sources[0].startswith(_IMAGE):
        raise InvalidInput(f"context {name[:80]}: {_REFUSED}")
    return sources[0]


def refuse(definition: Definition) -> None:
    """Raises InvalidInput: there is something in the definition."""
    if definition.operations:
        raise InvalidInput(_REFUSED)
