"""Projects whose files were sent with a request: nothing of this machine is read."""

from pathlib import Path, PurePosixPath

import pytest

from shoal.compose.load import LoadedStack, load_documents
from shoal.compose.reading.file_reader import FileReader, LocalFiles, ProjectFiles
from shoal.compose.reading.yaml_document import parse_document
from shoal.errors import InvalidInput, NotFound

NAMING = {
    "env_file": "services: {web: {image: x, env_file: [FILE]}}",
    "label_file": "services: {web: {image: x, label_file: FILE}}",
    "extends": "services: {web: {extends: {service: base, file: FILE}}}",
    "include": "include: [FILE]\nservices: {web: {image: x}}",
    "environment of an include": "include: [{path: other.yaml, env_file: FILE}]\nservices: {web: {image: x}}",
    "secret": "services: {web: {image: x}}\nsecrets: {s: {file: FILE}}",
    "config": "services: {web: {image: x}}\nconfigs: {c: {file: FILE}}",
    "seccomp": "services: {web: {image: x, security_opt: ['seccomp=FILE']}}",
}
CONTENT = b"services: {base: {image: y}}\n#=x\n"


def loaded(text: str, directory: Path, files: FileReader) -> LoadedStack:
    return load_documents("shop", [parse_document(directory / "web.yaml", text)], {}, directory, files=files)


@pytest.mark.parametrize("key", NAMING)
def test_what_a_key_names_comes_from_the_request_alone(key: str, tmp_path: Path) -> None:
    content = b"A=1\n" if key in ("env_file", "label_file", "environment of an include") else CONTENT
    (tmp_path / "named").write_bytes(content)
    (tmp_path / "other.yaml").write_text("{}")
    text = NAMING[key].replace("FILE", "named")
    loaded(text, tmp_path, LocalFiles()).checked()
    sent = {PurePosixPath("other.yaml"): b"{}"}
    with pytest.raises(InvalidInput, match="named not found"):
        loaded(text, tmp_path, ProjectFiles(sent, tmp_path)).checked()
    with pytest.raises(InvalidInput, match="named not found"):
        loaded(NAMING[key].replace("FILE", str(tmp_path / "named")), tmp_path, ProjectFiles(sent, tmp_path)).checked()
    loaded(text, tmp_path, ProjectFiles({**sent, PurePosixPath("named"): content}, tmp_path)).checked()


def test_variables_of_this_machine_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for directory in (tmp_path, tmp_path / "more"):
        (directory / ".env").write_text("TAG=here\n")
    sent = {PurePosixPath("more/b.yaml"): b"services: {web: {image: 'x:${TAG:-none}'}}"}
    stack = loaded(
        "include: [more/b.yaml]\nservices: {a: {image: 'x:${TAG:-none}'}}", tmp_path, ProjectFiles(sent, tmp_path)
    )
    images = {each.task.container.image for each in stack.checked().project.services}
    assert images == {"x:none"}


def test_the_home_of_this_process_is_nobodys() -> None:
    text = "services: {web: {image: x, volumes: ['~/data:/data']}}"
    assert loaded(text, Path("/srv"), LocalFiles()).checked().project.services[0].task.container.mounts[0].source
    with pytest.raises(InvalidInput, match="'~' cannot be expanded"):
        loaded(text, Path("/srv"), ProjectFiles()).checked()


def test_a_reader_gives_a_byte_more_than_the_limit_at_most(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    readers: list[FileReader] = [LocalFiles(), ProjectFiles({PurePosixPath("a"): bytes(10)}, tmp_path)]
    for files in readers:
        assert len(files.read(tmp_path / "x" / ".." / "a" if files is not readers[0] else tmp_path / "a", limit=4)) == 5
        assert len(files.read(tmp_path / "a", limit=100)) == 10
        with pytest.raises(NotFound, match="none not found"):
            files.read(tmp_path / "none", limit=4)
