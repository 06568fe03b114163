"""Which vertices may be found in the cache: `--no-cache`, `--no-cache-filter`. Pure."""

from collections.abc import Callable

from shoal.api.v1.builds_pb2 import BuildStart
from shoal.dockerfile.evaluation.evaluate import Evaluation
from shoal.dockerfile.graph.build_graph import BuildGraph
from shoal.dockerfile.graph.vertices import MergeVertex


def cache_choice(start: BuildStart, evaluation: Evaluation, graph: BuildGraph) -> Callable[[int], bool]:
    """Whether a vertex, by number, may be found."""
    if start.no_cache:
        return lambda _: False
    if not start.no_cache_stages:
        return lambda _: True
    names = {name.lower() for name in start.no_cache_stages}
    uncached: set[int] = set()
    for index, numbers in graph.steps.items():
        if {evaluation.plan.stages[index].stage.base.alias.lower(), str(index)} & names:
            for number in numbers:
                vertex = graph.vertices[number]
                uncached |= {number, vertex.layer} if isinstance(vertex, MergeVertex) else {number}
    return lambda number: number not in uncached
