// An application as the openid-client library's manual has it. It prints where to send the browser, reads where the browser
// ended, and prints what it got.
import * as client from 'openid-client'
import { createInterface } from 'node:readline/promises'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, KEY, REDIRECT_URI, LOGOUT_URI, ORGANIZATION, FEATURES = '' } = process.env
const has = (feature) => FEATURES.split(',').includes(feature)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const visit = async (url) => {
  console.log(url.href)
  return new URL((await lines.next()).value)
}
const insecure = { execute: [client.allowInsecureRequests] }

let key, auth
if (KEY) {
  const jwk = JSON.parse(KEY)
  key = { kid: jwk.kid, key: await crypto.subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']) }
  auth = client.PrivateKeyJwt(key)
} else if (!CLIENT_SECRET) {
  auth = client.None()
}
const config = await client.discovery(new URL(ISSUER), CLIENT_ID, CLIENT_SECRET || undefined, auth, insecure)
const dpop = has('dpop') ? { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256')) } : {}

const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const nonce = client.randomNonce()
let parameters = new URLSearchParams({
  redirect_uri: REDIRECT_URI, scope: 'openid email profile offline_access', organization: ORGANIZATION, state, nonce,
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
})
let to = client.buildAuthorizationUrl(config, parameters)
if (has('jar')) {
  to = await client.buildAuthorizationUrlWithJAR(config, parameters, key)
  parameters = to.searchParams
}
if (has('par')) to = await client.buildAuthorizationUrlWithPAR(config, parameters, dpop)
const back = await visit(to)

const tokens = await client.authorizationCodeGrant(config, back,
  { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true }, {}, dpop)
const claims = tokens.claims()
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub, dpop)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token, {}, dpop)
const result = { claims, userinfo, type: tokens.token_type, refreshed: refreshed.refresh_token !== tokens.refresh_token }
if (CLIENT_SECRET || KEY) {
  result.active = (await client.tokenIntrospection(config, refreshed.access_token)).active
}
await client.tokenRevocation(config, refreshed.refresh_token)
try {
  await client.refreshTokenGrant(config, refreshed.refresh_token, {}, dpop)
  result.afterRevocation = 'refreshed'
} catch (error) {
  result.afterRevocation = error.error
}
const left = await visit(client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: LOGOUT_URI, state: 'bye' }))
result.leftTo = left.href
console.log(JSON.stringify(result))
process.exit(0)
