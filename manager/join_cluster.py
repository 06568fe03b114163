"""`shoal-manager run --join`: become a manager of a cluster, before anything else of this manager runs.

Each step leaves a file, so that a manager that is stopped in between continues: the keys it asks certificates for, its
identity and the cluster key, the managers that it asks how far it is, and the layout with which its etcd starts.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import grpc

from manager.advertised_address import advertised_host, ip_of, with_port
from manager.etcd.layout import EtcdLayout, load_layout, remove_layout, save_layout
from manager.etcd.own_etcd import PeerAddresses, listen_address, peer_directory
from manager.etcd.server import EtcdServer
from manager.membership.member_api import RemovedFromCluster
from manager.recover import known_managers
from manager.settings import Settings
from shoal.api.v1.certificate_authority_pb2 import JoinManagerRequest, JoinManagerResponse
from shoal.api.v1.certificate_authority_pb2_grpc import CertificateAuthorityStub
from shoal.api.v1.cluster_pb2 import ManagerMembership
from shoal.api.v1.dispatcher_pb2 import EtcdPeer, GetMembershipRequest, GetMembershipResponse
from shoal.api.v1.dispatcher_pb2_grpc import ManagerPeersStub
from shoal.daemons.sd_notify import sd_notify
from shoal.errors import InvalidInput, Refused, Unauthenticated, Unavailable
from shoal.fault_points.injection import fault
from shoal.identity import certificates, identity, join_token
from shoal.identity.identity import Identity
from shoal.identity.keyring import previous_path
from shoal.identity.private_files import make_private_directory, write_atomically
from shoal.rpc import host_port
from shoal.rpc.channel import connect_aio, connect_without_identity
from shoal.rpc.join import TIMEOUT_SECONDS, verified_root
from shoal.rpc.status_mapping import to_shoal_error
from shoal.utc_text import utc_text

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
CHECK_SECONDS = 10.0
"""For the other managers to say where this one runs; one that is busy may be slow."""
LEASE_SECONDS = 25.0
"""Longer than the lease of a manager that has ended."""
START_TIMEOUT_USEC = 60_000_000
"""systemd waits for so long after each call."""
_READY = frozenset({ManagerMembership.LEARNER, ManagerMembership.VOTER})


@dataclass(frozen=True)
class JoinFiles:
    """What a join leaves in the state directory."""

    state_directory: Path

    @property
    def identity(self) -> Path:
        return self.state_directory / "identity"

    @property
    def keys(self) -> Path:
        """Of certificates that were asked for: a call that is repeated has to be about the same ones."""
        return self.state_directory / "joining"

    @property
    def pending(self) -> Path:
        """The managers to ask, from the first answer until etcd has its layout."""
        return self.state_directory / "joining.json"

    @property
    def removed(self) -> Path:
        """This manager was removed from its cluster, and must not create another one by itself."""
        return self.state_directory / "removed"


async def join_cluster(settings: Settings) -> None:
    """Become a manager of the cluster at `settings.join`, if this is not a manager already.

    Raises:
        InvalidInput, Unauthenticated, Refused: the token or the cluster does not admit this manager.
        RemovedFromCluster: it was removed, and there is no new token.
        Unavailable, Timeout: no manager responds, or a file cannot be written.
    """
    files = JoinFiles(settings.state_directory)
    if files.removed.exists():
        if not settings.join or _token_id(settings) == files.removed.read_text():
            raise RemovedFromCluster(
                "this manager was removed from its cluster. To join one, run it with --join and a new token; to create "
                f"a new cluster, delete {settings.state_directory}"
            )
        _put_aside(settings, files)  # what is left where an earlier process ended before it could
    if settings.join and not _is_manager(settings, files):
        await _become_manager(settings, files)
    elif identity.is_complete(files.identity):
        _forget_keys(files)
    if files.pending.exists():
        await _wait_until_added(settings, files)
    elif load_layout(settings.state_directory / "etcd") is not None:
        await _check_unique(settings, files)
        _move_to_address(settings)


async def _check_unique(settings: Settings, files: JoinFiles) -> None:
    """Before etcd starts: two with the same data and id would vote twice.

    Raises:
        Refused: this manager already runs at another address, so its state directory was copied.
    """
    own = Identity.load(files.identity)
    manager_id = certificates.subject_of(own.certificate).id
    address = _api_address(settings)
    if address.endswith(":0"):
        return  # It takes a free port, so it cannot be told from another one.
    deadline = time.monotonic() + LEASE_SECONDS
    while (answer := await _first_membership(_others(settings), own, manager_id)) is not None:
        other = answer.running.api_address
        if other in ("", address):
            return
        if time.monotonic() > deadline:
            raise Refused(
                f"manager {manager_id} already runs at {other}: the state directory of one of the two is a copy; "
                "delete this one, and join the cluster with `shoal-manager run --join`"
            )
        await asyncio.sleep(POLL_SECONDS)  # It may have been this one, at its former address.


def _others(settings: Settings) -> Iterable[str]:
    try:
        return known_managers(settings.state_directory).values()
    except Refused:
        return ()


async def _first_membership(managers: Iterable[str], own: Identity, manager_id: str) -> GetMembershipResponse | None:
    """Of all of these, the first answer; None: none responds. Raises RemovedFromCluster."""
    asked = [asyncio.ensure_future(_membership([each], own, manager_id, CHECK_SECONDS)) for each in managers]
    try:
        for answered in asyncio.as_completed(asked):
            if (answer := await answered) is not None:
                return answer
        return None
    finally:
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


def _api_address(settings: Settings) -> str:
    host = advertised_host(settings.advertise_address, settings.api_address)
    return with_port(host, int(settings.api_address.rpartition(":")[2]))


def _move_to_address(settings: Settings) -> None:
    """Have etcd start at the address in the settings. The leader has the others use it, once this manager runs."""
    directory = settings.state_directory / "etcd"
    layout, addresses = load_layout(directory), peer_addresses(settings)
    if layout is None:
        return
    moved = replace(layout, peer_address=addresses.advertised, listen_address=addresses.listening)
    if moved != layout:
        save_layout(directory, moved)


def leave_cluster(settings: Settings) -> None:
    """The cluster has removed this manager: nothing of it is used again. Its files stay, under other names."""
    files = JoinFiles(settings.state_directory)
    # First, since without it what is left here is taken for a new manager's, which creates a cluster of its own.
    # With the token that it joined with, it would try in vain to join again whenever it is started.
    write_atomically(files.removed, _token_id(settings).encode())
    _put_aside(settings, files)


def _put_aside(settings: Settings, files: JoinFiles) -> None:
    """Repeat it where it was interrupted."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    if files.identity.exists():
        files.identity.rename(files.identity.with_name(f"identity.removed.{stamp}"))
    remove_layout(settings.state_directory / "etcd")
    if (settings.state_directory / "etcd" / "data").exists():
        EtcdServer(settings.state_directory).quarantine_data("removed")


def peer_addresses(settings: Settings) -> PeerAddresses:
    """Where the etcds of other managers reach this one's."""
    host = advertised_host(settings.advertise_address, settings.api_address)
    advertised = with_port(host, host_port.parse(settings.peer_address).port)
    resolved = with_port(ip_of(host) or host, host_port.parse(settings.peer_address).port)
    return PeerAddresses(advertised, listen_address(resolved, settings.peer_address))


def _is_manager(settings: Settings, files: JoinFiles) -> bool:
    started = settings.etcd_endpoints or (settings.state_directory / "etcd" / "data").exists()
    joined = files.pending.exists() or load_layout(settings.state_directory / "etcd") is not None or started
    return identity.is_complete(files.identity) and bool(joined) and not files.removed.exists()


async def _become_manager(settings: Settings, files: JoinFiles) -> None:
    _prepare(files)
    token = join_token.parse(join_token.read(settings.token, settings.token_file))
    root = await verified_root(settings.join, token)
    key, peer_key = _key(files.keys / "manager.pem"), _key(files.keys / "etcd.pem")
    own_etcd = not settings.etcd_endpoints
    request = JoinManagerRequest(
        token=str(token),
        csr=certificates.request(key),
        peer_csr=certificates.request(peer_key) if own_etcd else b"",
        peer_address=peer_addresses(settings).advertised if own_etcd else "",
    )
    async with connect_without_identity(settings.join, root) as channel:
        try:
            response = await CertificateAuthorityStub(channel).JoinManager(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise to_shoal_error(error, address=settings.join) from error
    if not certificates.is_signed_by(response.certificate, root):
        raise Unauthenticated("the manager returned a certificate that the cluster's CA did not sign")
    fault("manager.join.answered")
    _save(settings, files, response, root, key, peer_key)
    _log.info("joined cluster %s as manager %s", response.cluster_id, response.manager_id)


def _token_id(settings: Settings) -> str:
    """Identifies the token in the settings without revealing it; empty: there is none, or it is not valid."""
    try:
        return join_token.token_id(join_token.parse(join_token.read(settings.token, settings.token_file)).secret)
    except (InvalidInput, Unavailable):
        return ""


def _prepare(files: JoinFiles) -> None:
    try:
        make_private_directory(files.state_directory)
        make_private_directory(files.keys)
    except OSError as error:
        raise Unavailable(f"cannot create {files.keys}: {error.strerror}; run the manager as root") from error


def _key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        key = certificates.new_key()
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error
    _write(path, key)
    return key


def _save(
    settings: Settings, files: JoinFiles, response: JoinManagerResponse, root: bytes, key: bytes, peer_key: bytes
) -> None:
    """The identity comes last but one: a manager that has it is one, as far as this host is concerned."""
    _write(settings.key_file, response.cluster_key)
    if response.previous_cluster_key:
        _write(previous_path(settings.key_file), response.previous_cluster_key)
    fault("manager.join.key-saved")
    if response.peer_certificate:
        peer = Identity(certificate=response.peer_certificate, key=peer_key, ca=root)
        peer.save(peer_directory(settings.state_directory / "etcd"))
        addresses = [each.api_address for each in response.managers]
        _write(files.pending, json.dumps({"managers": addresses}).encode())
    fault("manager.join.pending-saved")
    Identity(certificate=response.certificate, key=key, ca=root).save(files.identity)
    fault("manager.join.identity-saved")
    files.removed.unlink(missing_ok=True)
    _forget_keys(files)


def _forget_keys(files: JoinFiles) -> None:
    """Of certificates that are here by now; also where an earlier process ended before it could."""
    if files.keys.exists():
        for name in ("manager.pem", "etcd.pem"):
            files.keys.joinpath(name).unlink(missing_ok=True)
        files.keys.rmdir()


async def _wait_until_added(settings: Settings, files: JoinFiles) -> None:
    """Wait until the leader has added this manager's etcd, and save how to start it."""
    own = Identity.load(files.identity)
    manager_id = certificates.subject_of(own.certificate).id
    managers = json.loads(files.pending.read_bytes())["managers"]
    reported = ""
    while True:
        sd_notify(
            f"STATUS=waiting: to be added to the cluster's etcd\nEXTEND_TIMEOUT_USEC={START_TIMEOUT_USEC}", os.environ
        )
        answer = await _membership(managers, own, manager_id)
        if answer is not None and answer.membership.state in _READY:
            break
        problem = answer.membership.problem if answer is not None else ""
        if problem and problem != reported:
            _log.warning("waiting to be added to the cluster's etcd: %s", problem)
            reported = problem
        await asyncio.sleep(POLL_SECONDS)
    addresses = peer_addresses(settings)
    layout = EtcdLayout(
        name=manager_id,
        peer_address=answer.membership.peer_address,
        listen_address=addresses.listening,
        initial_cluster=_initial_cluster(answer.peers, answer.membership.member_id, manager_id),
    )
    save_layout(settings.state_directory / "etcd", layout)
    fault("manager.join.layout-saved")
    files.pending.unlink()


async def _membership(
    managers: list[str], own: Identity, manager_id: str, seconds: float = TIMEOUT_SECONDS
) -> GetMembershipResponse | None:
    """As some manager has it; None: none responds. Raises RemovedFromCluster: an operator has removed this manager."""
    async with connect_aio(managers, own) as channel:
        request = GetMembershipRequest(manager_id=manager_id)
        try:
            response = await ManagerPeersStub(channel).GetMembership(request, timeout=seconds)
        except grpc.RpcError as error:
            found = to_shoal_error(error, address=", ".join(managers))
            _log.warning("cannot read this manager's membership; retrying: %s", found)
            return None
    if response.removed:
        since = utc_text(response.epoch.started_at_ms)
        reason = f", or the cluster was restored from a backup (its present records begin at {since})"
        raise RemovedFromCluster(
            f"manager {manager_id} was removed from the cluster{reason if response.epoch.id else ''}. Its files are "
            "kept under other names. To be a manager again, run it with --join and a new token"
        )
    return response


def _initial_cluster(peers: Iterable[EtcdPeer], own_id: int, name: str) -> tuple[str, ...]:
    """Every member as etcd listed it: a member that copies their data compares the list with theirs by URL."""
    return tuple(
        f"{name if each.member_id == own_id else each.name or f'member-{each.member_id:x}'}={url}"
        for each in peers
        for url in each.peer_urls
    )


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}") from error
