"""What a Dockerfile or a request may say and builds here do not do: refused by name, with its line. Pure."""

from collections.abc import Iterable, Iterator

from shoal.api.v1.builds_pb2 import BuildStart
from shoal.dockerfile.evaluation.build_steps import Action, RunAction
from shoal.dockerfile.evaluation.evaluate import Evaluation
from shoal.dockerfile.source import FaultList
from shoal.errors import Fault, InvalidInput, Refused
from shoal.spec_parsers.builds.build_caches import read_cache

_ARCHIVES = (BuildStart.DOCKER_ARCHIVE, BuildStart.OCI_ARCHIVE)


def check_request(start: BuildStart, *, has_repository: bool) -> None:
    """Raises InvalidInput with every cache that is none; Refused: the cluster has no image repository."""
    faults = [*_cache_faults("cache_from", start.cache_from), *_cache_faults("cache_to", start.cache_to)]
    if faults:
        raise InvalidInput(faults)
    needs = start.output in _ARCHIVES or start.credentials or start.push or start.cache_to
    if not has_repository and needs:
        raise Refused("the cluster has no image repository, by which images are exported, pushed and pulled for users")


def _cache_faults(field: str, texts: Iterable[str]) -> Iterator[Fault]:
    for index, text in enumerate(texts):
        try:
            read_cache(text, export=field == "cache_to")
        except InvalidInput as error:
            yield Fault(f"{field}[{index}]", str(error))


def check_evaluation(evaluation: Evaluation, start: BuildStart, file_name: str) -> None:
    """Raises InvalidInput with every instruction that is not served, or that needs an entitlement."""
    faults = FaultList(file_name)
    for stage in evaluation.stages.values():
        for step in stage.steps:
            for text in _refused(step.action, start) if step.action is not None else ():
                faults.add(step.origin.location, text)
    faults.raise_any()


def _refused(action: Action, start: BuildStart) -> Iterator[str]:
    if isinstance(action, RunAction):
        yield from _refused_run(action, start)


def _refused_run(action: RunAction, start: BuildStart) -> Iterator[str]:
    if action.security == "insecure" and "security.insecure" not in start.entitlements:
        yield "RUN --security=insecure needs the entitlement security.insecure"
    if action.network == "host" and "network.host" not in start.entitlements and start.network != "host":
        yield "RUN --network=host needs the entitlement network.host"
