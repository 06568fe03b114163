"""What is announced of a build before it begins: its vertices, with names as BuildKit shows them. Pure."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shoal.api.v1.builds_pb2 import BuildPlan, Vertex
from shoal.dockerfile.evaluation.build_sources import ImageSource
from shoal.dockerfile.evaluation.evaluate import Evaluation
from shoal.dockerfile.graph.build_graph import BuildGraph
from shoal.dockerfile.graph.step_names import base_name, stage_name, step_names
from shoal.dockerfile.graph.vertices import ConfigVertex, ContextVertex, ImageVertex, MergeVertex
from shoal.dockerfile.source import Location


@dataclass(frozen=True)
class PlannedVertices:
    """Attributes:
    ids: of the graph's vertices, by number.
    locations: of vertices that are instructions, by number. instructions: their texts.
    settings_after: ids of steps that change the configuration alone, by the number of the vertex before them.
    """

    plan: BuildPlan
    ids: tuple[str, ...]
    locations: Mapping[int, Location]
    instructions: Mapping[int, str]
    settings_after: Mapping[int, tuple[str, ...]]


def plan_vertices(evaluation: Evaluation, graph: BuildGraph, build_id: str) -> PlannedVertices:
    """The plan of a graph.

    Args:
        build_id: so that ids of two builds differ, as clients expect of what is not cached.
    """
    ids = tuple(_digest(build_id, number) for number in range(len(graph.vertices)))
    named = dict(_instructions(evaluation, graph))
    vertices: list[Vertex] = []
    for number, vertex in enumerate(graph.vertices):
        about = named.get(number)
        shown = about or _other(vertex)
        if shown is None:
            continue
        shown.id = ids[number]
        shown.inputs.extend(ids[each] for each in vertex.inputs)
        vertices.append(shown)
    settings, after = _settings(evaluation, graph, build_id)
    locations = {number: Location(each.line, each.line) for number, each in named.items()}
    instructions = {number: each.instruction for number, each in named.items()}
    return PlannedVertices(BuildPlan(vertices=[*vertices, *settings]), ids, locations, instructions, after)


def _digest(*parts: object) -> str:
    return f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


def _other(vertex: object) -> Vertex | None:
    if isinstance(vertex, ContextVertex):
        return Vertex(name=f"[internal] load build context{f' {vertex.name}' if vertex.name else ''}")
    if isinstance(vertex, ConfigVertex):
        return Vertex(name="exporting to image")
    if isinstance(vertex, ImageVertex):
        return Vertex(name=f"FROM {vertex.source.reference}")
    return None  # nothing and merges, which have no work of their own


def _instructions(evaluation: Evaluation, graph: BuildGraph) -> Iterator[tuple[int, Vertex]]:
    """Vertices that are instructions, the first place of each; bases of stages too."""
    done: set[int] = set()
    images = {vertex.source: number for number, vertex in enumerate(graph.vertices) if isinstance(vertex, ImageVertex)}
    numbers = _numbers(evaluation, graph)
    for index in sorted(graph.steps):
        stage = evaluation.stages[index]
        first, total = numbers[index]
        base = base_name(evaluation, index)
        if base is not None and isinstance(stage.base, ImageSource) and (number := images[stage.base]) not in done:
            done.add(number)
            origin = stage.planned.stage.base.origin
            yield number, _vertex(base, stage_name(evaluation, index), first, total, origin.text, origin.location)
        for place, (step, name) in enumerate(zip(stage.steps, step_names(evaluation, index), strict=True)):
            number = _own_vertex(graph, graph.steps[index][place])
            if name is None or number in done:
                continue
            done.add(number)
            origin = step.origin
            at = first + place + 1
            yield number, _vertex(name, stage_name(evaluation, index), at, total, origin.text, origin.location)


def _own_vertex(graph: BuildGraph, number: int) -> int:
    """A merge has no work of its own: the layer that it has is the instruction's."""
    vertex = graph.vertices[number]
    return vertex.layer if isinstance(vertex, MergeVertex) else number


def _numbers(evaluation: Evaluation, graph: BuildGraph) -> dict[int, tuple[int, int]]:
    """Number of each stage's FROM among all instructions that are built, and how many these are."""
    total = sum(1 + len(evaluation.stages[index].steps) for index in graph.steps)
    found, number = {}, 1
    for index in sorted(graph.steps):
        found[index] = (number, total)
        number += 1 + len(evaluation.stages[index].steps)
    return found


def _vertex(name: str, stage: str, step: int, steps: int, text: str, location: Location) -> Vertex:
    return Vertex(name=name, stage=stage, step=step, steps=steps, instruction=text, line=location.first)


def _settings(
    evaluation: Evaluation, graph: BuildGraph, build_id: str
) -> tuple[list[Vertex], dict[int, tuple[str, ...]]]:
    """Steps that change the configuration alone: only clients of the classic builder show them."""
    found: list[Vertex] = []
    after: dict[int, tuple[str, ...]] = {}
    numbers = _numbers(evaluation, graph)
    announced = {each.step for _, each in _instructions(evaluation, graph)}
    for index in sorted(graph.steps):
        first, total = numbers[index]
        base = evaluation.stages[index].planned.stage.base.origin
        if first not in announced:  # scratch, another stage, an image that a stage before it has begun with
            vertex = _vertex("", stage_name(evaluation, index), first, total, base.text, base.location)
            vertex.id = _digest(build_id, "base", index)
            found.append(vertex)
        for place, step in enumerate(evaluation.stages[index].steps):
            if step.action is not None:
                continue
            origin = step.origin
            vertex = _vertex("", stage_name(evaluation, index), first + place + 1, total, origin.text, origin.location)
            vertex.id = _digest(build_id, "settings", index, place)
            number = _own_vertex(graph, graph.steps[index][place])
            after[number] = (*after.get(number, ()), vertex.id)
            found.append(vertex)
    return found, after
