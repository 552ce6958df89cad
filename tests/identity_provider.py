"""A small OpenID Connect provider on this machine: code flow, PKCE, RS256; it lets in whoever is named."""

import base64
import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

from flask import Flask, redirect, request
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

CLIENT_ID, CLIENT_SECRET = "evenkeel-clinic", "a secret between two machines"


@dataclass
class Provider:
    """What the provider will say next, and what it was asked."""

    issuer: str = ""
    claims: dict[str, object] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    signing_key: RSAKey | None = None
    changed: dict[str, object] = field(default_factory=dict)
    asked: dict[str, dict[str, str]] = field(default_factory=dict)
    is_away: bool = False

    def id_token(self, asked: dict[str, str], now_s: int) -> str:
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now_s,
            "exp": now_s + 300,
            "nonce": asked["nonce"],
            **self.claims,
            **self.changed,
        }
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.signing_key or self.key)


def _is_proven(asked: dict[str, str], verifier: str) -> bool:
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    return asked["code_challenge_method"] == "S256" and digest == asked["code_challenge"]


def provider_app(provider: Provider, now_s) -> Flask:
    app = Flask("provider")

    @app.get("/.well-known/openid-configuration")
    def discovery():
        if provider.is_away:
            return "away", 503
        return {
            "issuer": provider.issuer,
            "authorization_endpoint": f"{provider.issuer}/authorize",
            "token_endpoint": f"{provider.issuer}/token",
            "jwks_uri": f"{provider.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    @app.get("/authorize")
    def authorize():
        code = secrets.token_urlsafe(16)
        provider.asked[code] = request.args.to_dict()
        return redirect(
            f"{request.args['redirect_uri']}?{urlencode({'code': code, 'state': request.args['state']})}"
        )

    @app.post("/token")
    def token():
        asked = provider.asked.pop(request.form["code"], None)
        known = request.authorization
        is_client = known is not None and (known.username, known.password) == (CLIENT_ID, CLIENT_SECRET)
        if asked is None or not is_client or not _is_proven(asked, request.form["code_verifier"]):
            return {"error": "invalid_grant"}, 400
        return {"access_token": "x", "token_type": "Bearer", "id_token": provider.id_token(asked, now_s())}

    @app.get("/keys")
    def keys():
        return {"keys": [provider.key.as_dict(private=False)]}

    return app


@contextmanager
def running_provider(now_s) -> Iterator[Provider]:
    provider = Provider()
    server = make_server("127.0.0.1", 0, provider_app(provider, now_s), threaded=True)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
