"""`shoal config …`."""

from cli.commands.files import Calls, group
from shoal.api.v1.control_pb2_grpc import ControlStub


def _calls(control: ControlStub) -> Calls:
    return Calls(
        create=control.CreateConfig,
        update=control.UpdateConfig,
        get=control.GetConfig,
        list=control.ListConfigs,
        remove=control.RemoveConfig,
    )


command = group("config", _calls)
