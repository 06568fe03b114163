"""The connection of a program that runs on to the managers of its context."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime

from grpc import aio

from shoal.contexts.context_file import Context
from shoal.identity.identity import Identity
from shoal.manager_calls.certificate_maintenance import CertificateMaintenance
from shoal.manager_calls.manager_order import ManagerOrder
from shoal.manager_calls.managers import Managers
from shoal.manager_calls.replaceable_channel import ReplaceableChannel
from shoal.rpc.channel import connect_aio

MAX_RESPONSE_BYTES = 256 << 20
"""A list of a million tasks."""


async def connect_to_managers(
    stack: AsyncExitStack, context: Context, identity: Identity
) -> tuple[Managers, CertificateMaintenance]:
    """Calls to the managers, over a channel that stays with one of them: the first that answers. The stack ends them.

    The maintenance of the certificate begins when the caller runs it.
    """
    order = ManagerOrder(context.all_addresses)

    def connect(current: Identity) -> aio.Channel:
        return connect_aio(order.addresses, current, max_receive_bytes=MAX_RESPONSE_BYTES, one_at_a_time=True)

    channel = ReplaceableChannel(await stack.enter_async_context(connect(identity)))
    maintenance = CertificateMaintenance(
        context, channel, connected_as=identity, connect=connect, now=lambda: datetime.now(UTC)
    )
    stack.push_async_callback(maintenance.close)

    def use_next() -> bool:
        if is_changed := order.advance():
            maintenance.reconnect()
        return is_changed

    return Managers(channel, address=", ".join(context.all_addresses), use_next=use_next), maintenance
