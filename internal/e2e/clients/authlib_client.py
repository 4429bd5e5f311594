"""An application as the Authlib manual has it. It talks as openid-client.mjs does."""
import json
import os

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, jwt
from authlib.oidc.core import CodeIDToken

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
issuer, client_id, secret = os.environ["ISSUER"], os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]
server = requests.get(issuer + "/.well-known/openid-configuration", timeout=20).json()
client = OAuth2Session(client_id, secret or None, scope="openid email profile offline_access", redirect_uri=os.environ["REDIRECT_URI"],
                       code_challenge_method="S256", token_endpoint_auth_method="client_secret_basic" if secret else "none")
verifier, nonce = "a-code-verifier-of-sufficient-length-for-rfc7636", "the-nonce"
to, state = client.create_authorization_url(server["authorization_endpoint"], code_verifier=verifier, nonce=nonce,
                                            organization=os.environ["ORGANIZATION"])
print(to, flush=True)
tokens = client.fetch_token(server["token_endpoint"], authorization_response=input(), state=state, code_verifier=verifier)
keys = JsonWebKey.import_key_set(requests.get(server["jwks_uri"], timeout=20).json())
claims = jwt.decode(tokens["id_token"], keys, claims_cls=CodeIDToken,
                    claims_options={"iss": {"essential": True, "value": server["issuer"]}, "aud": {"essential": True, "value": client_id}},
                    claims_params={"nonce": nonce, "client_id": client_id, "access_token": tokens["access_token"]})
claims.validate()
userinfo = client.get(server["userinfo_endpoint"]).json()
old = tokens["refresh_token"]
refreshed = client.refresh_token(server["token_endpoint"], refresh_token=old)
result = {"claims": claims, "userinfo": userinfo, "type": tokens["token_type"].lower(), "refreshed": refreshed["refresh_token"] != old}
if secret:
    result["active"] = client.introspect_token(server["introspection_endpoint"], token=refreshed["access_token"]).json()["active"]
client.revoke_token(server["revocation_endpoint"], token=refreshed["refresh_token"], token_type_hint="refresh_token").raise_for_status()
try:
    client.refresh_token(server["token_endpoint"], refresh_token=refreshed["refresh_token"])
    result["afterRevocation"] = "refreshed"
except Exception as refused:  # of no class that says more than its error
    result["afterRevocation"] = getattr(refused, "error", repr(refused))
print(json.dumps(result), flush=True)
