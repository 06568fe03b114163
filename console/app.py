"""Assembles the console: the only place that constructs its parts."""

import asyncio
import logging
import os
import secrets
import socket
import ssl
import sys
import webbrowser
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from aiohttp import web

from console.feed.live_feed import LiveFeed
from console.handlers.cluster_images import ClusterImages, Logins
from console.handlers.container_handlers import ContainerHandlers
from console.handlers.creation_handlers import CreationHandlers
from console.handlers.feed_handlers import FeedHandlers
from console.handlers.file_handlers import FileHandlers
from console.handlers.image_archive_handlers import ImageArchiveHandlers
from console.handlers.image_handlers import ImageHandlers
from console.handlers.log_handlers import LogHandlers
from console.handlers.node_handlers import NodeHandlers
from console.handlers.object_handlers import ObjectHandlers
from console.handlers.resource_handlers import ResourceHandlers
from console.handlers.service_handlers import ServiceHandlers
from console.handlers.session_handlers import SessionHandlers
from console.handlers.stack_handlers import StackHandlers
from console.handlers.streams import Streams
from console.handlers.terminal_handlers import TerminalHandlers
from console.handlers.warning_handlers import WarningHandlers
from console.server.assets import Assets
from console.server.http_app import http_app
from console.server.listener import listen, serving
from console.server.request_checks import LOOPBACK_NAMES
from console.server.sessions import KEY_BYTES, Session, SessionSigner
from console.server.sign_ins import SignIns
from console.settings import ConsoleSettings
from shoal.api.v1.control_pb2 import WatchClusterRequest
from shoal.contexts.certificate_renewal import renew_if_due
from shoal.contexts.context_store import ContextStore, default_directory
from shoal.daemons.sd_notify import sd_notify
from shoal.distribution.registries import Registries, read_registries
from shoal.errors import InvalidInput, Unavailable
from shoal.identity.certificates import expires_at, expires_at_ms, subject_of
from shoal.identity.identity import Identity
from shoal.identity.private_files import make_private_directory, write_atomically
from shoal.identity.roles import CertificateSubject, Role
from shoal.manager_calls.acting_user import acting_for
from shoal.manager_calls.issued_certificate import host_names, maintain_server_certificate
from shoal.manager_calls.manager_connection import connect_to_managers
from shoal.manager_calls.managers import Managers
from shoal.manager_calls.monitoring import ClientMonitor
from shoal.monitoring.server import monitoring_server
from shoal.registry_logins.docker_config import DockerConfig, config_path
from shoal.registry_logins.with_logins import with_logins
from shoal.rpc.on_behalf import ActingUser
from shoal.task_group import TaskGroup
from shoal.telemetry.tracing import tracing

DISTRIBUTION = "shoal"
NO_REGISTRIES = Registries()

_log = logging.getLogger(__name__)


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


async def run(settings: ConsoleSettings) -> None:
    """Serve until cancelled.

    Raises:
        ShoalError: there is no context, the pages are missing, or the address cannot be listened on.
    """
    context = ContextStore(default_directory(os.environ)).resolve(settings.context or None, os.environ)
    if warning := await asyncio.to_thread(renew_if_due, context, now()):
        _log.warning("%s", warning)
    assets = Assets.read()
    identity = Identity.load(context.directory)
    _check_role(settings, identity)
    listener = listen(settings.host, settings.port)
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        managers, maintenance = await connect_to_managers(stack, context, identity)
        console = build(
            settings,
            managers,
            identity=identity,
            context=context.name,
            port=listener.getsockname()[1],
            assets=assets,
            registries=read_registries(context.registries) if context.registries else NO_REGISTRIES,
        )
        tls = None if settings.local else _tls_context(settings)
        await stack.enter_async_context(tracing("shoal-console"))
        monitor = ClientMonitor(managers, name="console", identity=lambda: Identity.load(context.directory))
        await stack.enter_async_context(
            monitoring_server(settings.monitoring, checks=monitor.checks, collect=monitor.collect)
        )
        await stack.enter_async_context(serving(console.app, listener, tls))
        async with TaskGroup() as group:
            group.create_task(console.feed.run())
            group.create_task(maintenance.maintain())
            if tls is not None:
                group.create_task(_keep_certificate(settings, tls, managers))
            _announce(settings, console, listener)


def _check_role(settings: ConsoleSettings, identity: Identity) -> None:
    """Raises InvalidInput: the context's role cannot do what this console has to."""
    role = subject_of(identity.certificate).role
    admitted = (Role.ADMIN,) if settings.local else (Role.CONSOLE, Role.ADMIN)
    if role not in admitted:
        required = " or ".join(admitted)
        raise InvalidInput(f"the context has role {role}; a console of this kind needs one of role {required}")


@dataclass(frozen=True, kw_only=True)
class Console:
    """A console that is assembled and does not listen yet.

    Attributes:
        own: whom its context names.
        certificate_until: when that certificate expires.
    """

    app: web.Application
    feed: LiveFeed
    sign_ins: SignIns
    own: CertificateSubject
    certificate_until: datetime

    def one_time_token(self) -> str:
        """A token that lets a browser in as the context's user."""
        return self.sign_ins.one_time_token(self.own.id, self.own.role, certificate_until=self.certificate_until)


def build(
    settings: ConsoleSettings,
    managers: Managers,
    *,
    identity: Identity,
    context: str,
    port: int,
    assets: Assets,
    registries: Registries = NO_REGISTRIES,
) -> Console:
    """The parts of a console over calls to managers.

    Args:
        port: that it is reached at; consoles of one machine have cookies of their own by it.
        registries: settings of registries that images are copied from and to.
    """
    own = subject_of(identity.certificate)
    # The prefix makes browsers insist on TLS, this host alone and the path /.
    cookie_name = f"shoal-console-{port}" if settings.local else "__Host-shoal-console"
    signer, streams = SessionSigner(_session_key(settings.session_key_file)), Streams(now)
    sign_ins = SignIns(authority=identity.ca, now=now)
    feed = LiveFeed(lambda: managers.stream(managers.control.WatchCluster, WatchClusterRequest()))
    sessions = SessionHandlers(
        sign_ins=sign_ins,
        signer=signer,
        cookie_name=cookie_name,
        secure=not settings.local,
        context=context,
        cluster=own.cluster,
        authority_until_ms=expires_at_ms(identity.ca),
        version=version(DISTRIBUTION),
        now=now,
    )
    images = ClusterImages(managers, registries, logins_of(settings))
    handlers = (
        sessions,
        FeedHandlers(feed, managers, streams),
        ServiceHandlers(managers),
        NodeHandlers(managers),
        WarningHandlers(managers),
        LogHandlers(managers, streams),
        StackHandlers(managers),
        CreationHandlers(managers),
        ObjectHandlers(managers),
        ResourceHandlers(managers),
        ContainerHandlers(managers),
        FileHandlers(managers),
        ImageHandlers(managers, streams, images),
        ImageArchiveHandlers(managers, images),
        TerminalHandlers(managers, streams),
    )
    app = http_app(
        [route for each in handlers for route in each.routes()],
        assets=assets,
        signer=signer,
        cookie_name=cookie_name,
        names=_names(settings),
        acting_for=lambda session: acting_for(user_for(session, own.role)),
        now=now,
    )

    async def close_streams(_: web.Application) -> None:
        await streams.close()

    app.on_shutdown.append(close_streams)
    return Console(app=app, feed=feed, sign_ins=sign_ins, own=own, certificate_until=expires_at(identity.certificate))


def user_for(session: Session, own_role: Role) -> ActingUser | None:
    """Whom managers are told that a request is for; None: nobody but the console's context itself.

    Only a console may name a user; with an admin's context all that is asked of a console is that admin's doing.
    """
    return ActingUser(session.user, session.role) if own_role is Role.CONSOLE else None


def _names(settings: ConsoleSettings) -> Callable[[], frozenset[str]]:
    """What browsers may call this console: of a local one loopback alone."""
    if settings.local:
        return lambda: LOOPBACK_NAMES
    names = frozenset(each.lower() for each in host_names(settings.host, settings.names))
    return lambda: names


def logins_of(settings: ConsoleSettings) -> Logins:
    """Of registries: on one's own machine those of `shoal login`. A console for a team lends its own to nobody."""
    if not settings.local:
        return lambda registries, _: registries
    return lambda registries, domains: with_logins(registries, domains, DockerConfig(config_path(os.environ)))


def _session_key(path: Path | None) -> bytes:
    """Of the file, which is made if it is not there; without one, a new one.

    Raises:
        Unavailable: the file cannot be read or written, or is none.
    """
    if path is None:
        return secrets.token_bytes(KEY_BYTES)
    try:
        if not path.exists():
            make_private_directory(path.parent)
            write_atomically(path, secrets.token_bytes(KEY_BYTES))
        key = path.read_bytes()
    except OSError as error:
        raise Unavailable(f"cannot use {path}: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise Unavailable(f"{path} is not a key of {KEY_BYTES} bytes; remove it")
    return key


async def _keep_certificate(settings: ConsoleSettings, tls: ssl.SSLContext, managers: Managers) -> None:
    await maintain_server_certificate(
        tls,
        managers,
        certificate=settings.tls_certificate,
        key=settings.tls_key,
        listen=settings.host,
        names=settings.names,
    )


def _tls_context(settings: ConsoleSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.tls_certificate is not None:
        try:
            context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise Unavailable(f"cannot use {settings.tls_certificate} and {settings.tls_key}: {error}") from error
    return context


def _announce(settings: ConsoleSettings, console: Console, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    sd_notify("READY=1", os.environ)
    if not settings.local:
        _log.info("listening on https://%s", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        return
    token = console.one_time_token()
    shown = f"[{host}]" if ":" in host else host
    # In the fragment, which browsers send to nobody: no log and no Referer has it.
    address = f"http://{shown}:{port}/#token={token}"
    if settings.address_file is not None:
        _write_address(settings.address_file, address)
    else:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
    if settings.open_browser:
        webbrowser.open(address)


def _write_address(path: Path, address: str) -> None:
    """Raises Unavailable: the file cannot be written."""
    try:
        write_atomically(path, f"{address}\n".encode())
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}") from error
