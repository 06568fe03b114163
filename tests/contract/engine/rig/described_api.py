"""Docker's description of the API, version 1.50: which answers an operation has, and what documents look like.

`described/engine_api_1_50.json` is what tests need of it, one line an operation and a definition: without texts and
examples (moby, api/swagger.yaml, Apache-2.0).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

FILE = Path(__file__).parent / "described" / "engine_api_1_50.json"

Schema = dict[str, Any]


@dataclass(frozen=True)
class DescribedOperation:
    """
    Attributes:
        path: template: `/containers/{id}/json`.
        parameters: where each is, by name: query, header, path.
        responses: schema by status; None where the answer has no document.
    """

    name: str
    method: str
    path: str
    parameters: Mapping[str, str]
    responses: Mapping[str, Schema | None]

    def __str__(self) -> str:
        return self.name

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{name\}", ".+", re.sub(r"\{(?!name\})\w+\}", "[^/]+", self.path)))


class DescribedApi:
    """The whole description.

    Attributes:
        operations: by name.
    """

    def __init__(self) -> None:
        described = json.loads(FILE.read_text(encoding="utf-8"))
        self.operations = {
            name: DescribedOperation(name=name, **each) for name, each in described["operations"].items()
        }
        self._described = described["definitions"]
        self._definitions = {name: self._closed(each) for name, each in self._described.items()}

    def find(self, method: str, path: str) -> DescribedOperation:
        """The operation of a request, whose path has no version and no query; fixed paths before templates."""
        found = [each for each in self.operations.values() if each.method == method and each.pattern.fullmatch(path)]
        return min(found, key=lambda each: each.path.count("{"))

    def faults(self, operation: DescribedOperation, status: int, document: object) -> Iterator[str]:
        """What is not as described: the status, keys that nobody knows, types, values out of an enumeration."""
        if str(status) not in operation.responses:
            yield f"status {status} is not described"
            return
        schema = operation.responses[str(status)]
        if schema is None:
            return
        whole = {**self._closed(schema), "definitions": self._definitions}
        for error in Draft202012Validator(whole).iter_errors(document):
            place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
            yield f"{place}: {error.message[:200]}"

    def _closed(self, schema: Schema) -> Schema:
        """A schema as validators take it: null where Go has nil, no keys but the described ones."""
        if "$ref" in schema:
            return {"$ref": schema["$ref"]}
        if "allOf" in schema:
            return self._closed(self._merged(schema))
        found = {key: value for key, value in schema.items() if key in ("enum", "required", "minItems")}
        kind = schema.get("type", "object" if "properties" in schema else None)
        if kind is not None:
            found["type"] = [kind, "null"] if schema.get("x-nullable") or kind in ("array", "object") else kind
        if "properties" in schema:
            found["properties"] = {name: self._closed(each) for name, each in schema["properties"].items()}
            found["additionalProperties"] = False
        if isinstance(more := schema.get("additionalProperties"), dict):
            found["additionalProperties"] = self._closed(more)
        if "items" in schema:
            found["items"] = self._closed(schema["items"])
        return found

    def _merged(self, schema: Schema) -> Schema:
        """All parts of an `allOf` as one object."""
        properties: Schema = dict(schema.get("properties", {}))
        for part in schema["allOf"]:
            whole = self._described[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
            properties |= (self._merged(whole) if "allOf" in whole else whole).get("properties", {})
        return {"type": "object", "properties": properties}
