"""`shoal secret …`."""

from cli.client import Client
from cli.commands.common.file_commands import FileCalls, file_commands


def _calls(client: Client) -> FileCalls:
    return FileCalls(
        create=client.control.CreateSecret,
        update=client.control.UpdateSecret,
        get=client.control.GetSecret,
        list=client.control.ListSecrets,
        remove=client.control.RemoveSecret,
    )


command = file_commands("secret", _calls)
