"""`shoal config …`."""

from cli.client import Client
from cli.commands.common.file_commands import FileCommandCalls, file_commands


def _calls(client: Client) -> FileCommandCalls:
    return FileCommandCalls(
        create=client.control.CreateConfig,
        update=client.control.UpdateConfig,
        get=client.control.GetConfig,
        list=client.control.ListConfigs,
        remove=client.control.RemoveConfig,
    )


command = file_commands("config", _calls)
