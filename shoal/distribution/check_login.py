"""Whether a registry takes a name and a password. Imports httpx: import this module at first use."""

from shoal.distribution.registries import RegistrySettings
from shoal.distribution.registry_request import RegistryRequest
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.transport import Transport
from shoal.errors import PermissionDenied, Unauthenticated


async def check_login(registry: RegistrySettings, *, policy: RetryPolicy | None = None) -> None:
    """Ask for the registry's base (OCI distribution-spec, "Determining Support") with the credentials of its settings.

    Raises:
        Unauthenticated: they are wrong. Unavailable: it does not respond.
    """
    transport = Transport(registry, policy=policy or RetryPolicy(attempts=2))
    try:
        await transport.send(RegistryRequest("GET", "/v2/", f"a login to {registry.domain}", ()))
    except (Unauthenticated, PermissionDenied) as error:
        raise Unauthenticated(f"login to {registry.domain} failed: incorrect user name or password") from error
    finally:
        await transport.aclose()
