"""One Compose file, read from a directory of the tests."""

from pathlib import Path

import pytest

from shoal.compose.load import load_documents
from shoal.compose.project import StackSpecs
from shoal.compose.reading.file_reader import LocalFiles
from shoal.compose.reading.yaml_document import parse_document
from shoal.errors import InvalidInput

HERE = Path("/srv/shop")


def project(*texts: str, **variables: str) -> StackSpecs:
    documents = [parse_document(Path(f"file{number}.yaml"), text) for number, text in enumerate(texts, 1)]
    return load_documents("shop", documents, variables, HERE, files=LocalFiles()).checked().project


def faults(*texts: str, **variables: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        project(*texts, **variables)
    return [str(fault) for fault in caught.value.faults]
