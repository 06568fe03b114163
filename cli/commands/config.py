"""`shoal config …`."""

from cli.client import Client
from cli.commands.files import Calls, group


def _calls(client: Client) -> Calls:
    return Calls(
        create=client.control.CreateConfig,
        update=client.control.UpdateConfig,
        get=client.control.GetConfig,
        list=client.control.ListConfigs,
        remove=client.control.RemoveConfig,
    )


command = group("config", _calls)
