"""`shoal secret …`."""

from cli.commands.files import Calls, group
from shoal.api.v1.control_pb2_grpc import ControlStub


def _calls(control: ControlStub) -> Calls:
    return Calls(
        create=control.CreateSecret,
        update=control.UpdateSecret,
        get=control.GetSecret,
        list=control.ListSecrets,
        remove=control.RemoveSecret,
    )


command = group("secret", _calls)
