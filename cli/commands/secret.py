"""`shoal secret …`."""

from cli.client import Client
from cli.commands.files import Calls, group


def _calls(client: Client) -> Calls:
    return Calls(
        create=client.control.CreateSecret,
        update=client.control.UpdateSecret,
        get=client.control.GetSecret,
        list=client.control.ListSecrets,
        remove=client.control.RemoveSecret,
    )


command = group("secret", _calls)
