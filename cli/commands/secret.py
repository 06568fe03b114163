"""`shoal secret …`."""

from cli.client import Client
from cli.commands.common.file_commands import FileCommandCalls, file_commands


def _calls(client: Client) -> FileCommandCalls:
    return FileCommandCalls(
        create=client.control.CreateSecret,
        update=client.control.UpdateSecret,
        get=client.control.GetSecret,
        list=client.control.ListSecrets,
        remove=client.control.RemoveSecret,
    )


command = file_commands("secret", _calls)
