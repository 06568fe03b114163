"""Renewal of one's own certificate, before half of its life is over."""

from collections.abc import Sequence

import grpc

from shoal.api.v1.certificate_authority_pb2 import RenewRequest
from shoal.api.v1.certificate_authority_pb2_grpc import CertificateAuthorityStub
from shoal.errors import Unauthenticated
from shoal.identity import certificates
from shoal.identity.identity import Identity
from shoal.rpc.channel import connect_aio
from shoal.rpc.status_mapping import to_shoal_error

TIMEOUT_SECONDS = 15.0


async def renew(managers: Sequence[str], identity: Identity, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Identity:
    """The same identity with a new certificate for the same key. The caller saves it, and connects anew with it.

    Args:
        managers: `host:port` of managers' APIs.
    Raises:
        PermissionDenied: the node has been removed from the cluster.
        Unauthenticated: the certificate received is not signed by the cluster's authority; Unavailable, Timeout: try
        again later.
    """
    request = RenewRequest(csr=certificates.request(identity.key))
    async with connect_aio(managers, identity) as channel:
        try:
            response = await CertificateAuthorityStub(channel).Renew(request, timeout=timeout_seconds)
        except grpc.RpcError as error:
            raise to_shoal_error(error, address=", ".join(managers)) from error
    if not certificates.is_signed_by(response.certificate, identity.ca):
        raise Unauthenticated("the manager returned a certificate that the cluster's CA did not sign")
    return Identity(certificate=response.certificate, key=identity.key, ca=identity.ca)
