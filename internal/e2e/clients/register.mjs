// An application that registers itself by the openid-client library, and prints what it became.
import * as client from 'openid-client'

const { ISSUER, INITIAL_TOKEN, REDIRECT_URI, LOGOUT_URI } = process.env
const config = await client.dynamicClientRegistration(new URL(ISSUER), {
  client_name: 'Registered', redirect_uris: [REDIRECT_URI], post_logout_redirect_uris: [LOGOUT_URI],
  grant_types: ['authorization_code', 'refresh_token'], id_token_signed_response_alg: 'ES256',
}, undefined, { initialAccessToken: INITIAL_TOKEN, execute: [client.allowInsecureRequests] })
console.log(JSON.stringify(config.clientMetadata()))
