// An application as the oauth4webapi library's examples have it, and, where it is told of one, a protected resource that reads
// JWT access tokens itself. It talks as openid-client.mjs does.
import * as oauth from 'oauth4webapi'
import { createInterface } from 'node:readline/promises'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, ORGANIZATION, RESOURCE } = process.env
const insecure = { [oauth.allowInsecureRequests]: true }
const lines = createInterface({ input: process.stdin })

const issuer = new URL(ISSUER)
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure))
const client = { client_id: CLIENT_ID }
const auth = CLIENT_SECRET ? oauth.ClientSecretBasic(CLIENT_SECRET) : oauth.None()
const verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const nonce = oauth.generateRandomNonce()
const to = new URL(as.authorization_endpoint)
for (const [name, value] of Object.entries({
  client_id: CLIENT_ID, redirect_uri: REDIRECT_URI, response_type: 'code', scope: 'openid email profile offline_access', organization: ORGANIZATION,
  state, nonce, code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
})) to.searchParams.set(name, value)
if (RESOURCE) for (const one of [ISSUER, RESOURCE]) to.searchParams.append('resource', one)
console.log(to.href)
const back = (await lines[Symbol.asyncIterator]().next()).value

const params = oauth.validateAuthResponse(as, client, new URL(back), state)
const asksFor = (resource) => ({ ...insecure, ...(RESOURCE ? { additionalParameters: { resource } } : {}) }) // RFC 8707
const answer = await oauth.authorizationCodeGrantRequest(as, client, auth, params, REDIRECT_URI, verifier, asksFor(ISSUER))
const tokens = await oauth.processAuthorizationCodeResponse(as, client, answer, { expectedNonce: nonce, requireIdToken: true })
await oauth.validateApplicationLevelSignature(as, answer, insecure)
const claims = oauth.getValidatedIdTokenClaims(tokens)
const userinfo = await oauth.processUserInfoResponse(as, client, claims.sub, await oauth.userInfoRequest(as, client, tokens.access_token, insecure))
const refreshed = await oauth.processRefreshTokenResponse(as, client,
  await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, asksFor(RESOURCE)))
const result = { claims, userinfo, type: tokens.token_type, refreshed: refreshed.refresh_token !== tokens.refresh_token }
if (RESOURCE) {
  const request = new Request(RESOURCE, { headers: { authorization: `Bearer ${refreshed.access_token}` } })
  result.atResource = (await oauth.validateJwtAccessToken(as, request, RESOURCE, insecure)).sub
}
await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, refreshed.refresh_token, insecure))
console.log(JSON.stringify(result))
process.exit(0)
