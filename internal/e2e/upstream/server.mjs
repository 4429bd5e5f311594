// An OpenID provider that is not ours, for a test: oidc-provider with the sign-in pages that it has for development. It
// takes its private keys (a JWK set) from the environment, listens on a free port of loopback, and prints its issuer.
// Clients register themselves and keep their registration up to date (RFC 7591, RFC 7592).
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const algorithms = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const people = {
  alice: { email: 'alice@acme.example', email_verified: true, given_name: 'Alice', family_name: 'Archer', groups: ['eng', 'ops'] },
};

let handle;
const server = createServer((request, response) => handle(request, response));
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    jwks: JSON.parse(process.env.UPSTREAM_KEYS),
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['given_name', 'family_name', 'groups'] },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    enabledJWA: {
      idTokenSigningAlgValues: [...algorithms, 'HS256'],
      userinfoSigningAlgValues: algorithms,
    },
    features: {
      devInteractions: { enabled: true },
      jwtUserinfo: { enabled: true },
      registration: { enabled: true },
      registrationManagement: { enabled: true, rotateRegistrationAccessToken: false },
    },
    pkce: { required: () => false },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  });
  provider.on('grant.error', (_, error) => console.error(error.error, error.error_detail));
  handle = provider.callback();
  console.log(issuer);
});
process.stdin.on('end', () => process.exit(0)).resume(); // whoever started it has gone
