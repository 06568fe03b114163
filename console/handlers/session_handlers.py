"""/api/session: who is signed in; sign in, sign out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from console.server.http_app import SESSION
from console.server.json_answers import answer, body_of, text_of
from console.server.sessions import Session, SessionSigner
from console.server.sign_ins import SignIns


@dataclass(frozen=True, kw_only=True)
class SessionHandlers:
    """The session's calls.

    Attributes:
        context: name of the context whose cluster is shown.
        secure: the cookie is for TLS alone.
        authority_until_ms: when the certificate of the cluster's authority expires, milliseconds since the Unix epoch.
    """

    sign_ins: SignIns
    signer: SessionSigner
    cookie_name: str
    secure: bool
    context: str
    cluster: str
    authority_until_ms: int
    version: str
    now: Callable[[], datetime]

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        yield web.get("/api/session", self.show)
        yield web.post("/api/session", self.begin)
        yield web.delete("/api/session", self.end)

    async def show(self, request: web.Request) -> web.StreamResponse:
        session = request.get(SESSION)
        if session is None:
            return answer({"error": "sign in first"}, status=401)
        return answer(self._document(session))

    async def begin(self, request: web.Request) -> web.StreamResponse:
        session = self.sign_ins.sign_in(text_of(await body_of(request), "token"))
        response = answer(self._document(session))
        response.set_cookie(
            self.cookie_name,
            self.signer.cookie_of(session),
            max_age=int((session.until - self.now()).total_seconds()),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self.secure,
        )
        return response

    async def end(self, request: web.Request) -> web.StreamResponse:
        response = answer({})
        response.del_cookie(self.cookie_name, path="/", httponly=True, samesite="Strict", secure=self.secure)
        return response

    def _document(self, session: Session) -> dict[str, object]:
        return {
            "user": session.user,
            "role": str(session.role),
            "until": int(session.until.timestamp() * 1000),
            "context": self.context,
            "cluster": self.cluster,
            "authority": self.authority_until_ms,
            "version": self.version,
        }
