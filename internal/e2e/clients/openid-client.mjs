// An application as the openid-client library's manual has it. It prints where to send the person, reads where the person
// came back, and prints what it got.
import * as client from 'openid-client'
import { createInterface } from 'node:readline/promises'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, ORGANIZATION, FEATURES = '' } = process.env
const has = (feature) => FEATURES.split(',').includes(feature)
const lines = createInterface({ input: process.stdin })
const insecure = { execute: [client.allowInsecureRequests] }

const config = await client.discovery(new URL(ISSUER), CLIENT_ID, CLIENT_SECRET || undefined, CLIENT_SECRET ? undefined : client.None(), insecure)
const dpop = has('dpop') ? { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256')) } : {}

const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const nonce = client.randomNonce()
const parameters = {
  redirect_uri: REDIRECT_URI, scope: 'openid email profile offline_access', organization: ORGANIZATION, state, nonce,
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
}
const to = has('par')
  ? await client.buildAuthorizationUrlWithPAR(config, parameters, dpop)
  : client.buildAuthorizationUrl(config, parameters)
console.log(to.href)
const back = (await lines[Symbol.asyncIterator]().next()).value

const tokens = await client.authorizationCodeGrant(config, new URL(back),
  { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true }, {}, dpop)
const claims = tokens.claims()
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub, dpop)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token, {}, dpop)
const result = { claims, userinfo, type: tokens.token_type, refreshed: refreshed.refresh_token !== tokens.refresh_token }
if (CLIENT_SECRET) {
  result.active = (await client.tokenIntrospection(config, refreshed.access_token)).active
}
await client.tokenRevocation(config, refreshed.refresh_token)
try {
  await client.refreshTokenGrant(config, refreshed.refresh_token, {}, dpop)
  result.afterRevocation = 'refreshed'
} catch (error) {
  result.afterRevocation = error.error
}
console.log(JSON.stringify(result))
process.exit(0)
