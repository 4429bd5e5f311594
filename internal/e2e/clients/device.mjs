// An application on a device without a browser, as the oauth4webapi library's examples have it; but it asks once, when it knows
// that the person is done. It talks as openid-client.mjs does.
import * as oauth from 'oauth4webapi'
import { createInterface } from 'node:readline/promises'

const { ISSUER, CLIENT_ID, ORGANIZATION } = process.env
const insecure = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(ISSUER)
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure))
const client = { client_id: CLIENT_ID }
const wanted = { scope: 'openid email profile offline_access', organization: ORGANIZATION }
const begun = await oauth.processDeviceAuthorizationResponse(as, client,
  await oauth.deviceAuthorizationRequest(as, client, oauth.None(), wanted, insecure))
console.log(begun.verification_uri_complete)
await createInterface({ input: process.stdin })[Symbol.asyncIterator]().next()

const answer = await oauth.deviceCodeGrantRequest(as, client, oauth.None(), begun.device_code, insecure)
const tokens = await oauth.processDeviceCodeResponse(as, client, answer)
await oauth.validateApplicationLevelSignature(as, answer, insecure)
const claims = oauth.getValidatedIdTokenClaims(tokens)
const userinfo = await oauth.processUserInfoResponse(as, client, claims.sub, await oauth.userInfoRequest(as, client, tokens.access_token, insecure))
const refreshed = await oauth.processRefreshTokenResponse(as, client,
  await oauth.refreshTokenGrantRequest(as, client, oauth.None(), tokens.refresh_token, insecure))
console.log(JSON.stringify({ claims, userinfo, type: tokens.token_type, refreshed: refreshed.refresh_token !== tokens.refresh_token }))
process.exit(0)
