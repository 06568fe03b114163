"""Docker's environment files (`--env-file`); the format of Compose files is richer."""

from pathlib import Path

from shoal.errors import InvalidInput


def read_env_file(path: str) -> list[str]:
    """The entries of the file, one a line; `#` begins a comment line.

    Raises:
        InvalidInput: it cannot be read as text.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not valid UTF-8") from None
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
