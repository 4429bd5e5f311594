// A site on next-auth with its BoxyHQ SAML provider as the manual has it. Here is what Next and a browser with cookies do:
// they take requests to NextAuth's handler and back. It talks as openid-client.mjs does.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline/promises'

const require = createRequire(import.meta.url)
const NextAuth = require('next-auth').default
const BoxyHQSAMLProvider = require('next-auth/providers/boxyhq-saml').default

const { ISSUER, CLIENT_ID, CLIENT_SECRET, TENANT, PRODUCT } = process.env
process.env.NEXTAUTH_URL = 'http://app.example'
const handler = NextAuth({
  secret: 'only-of-this-run',
  providers: [BoxyHQSAMLProvider({ issuer: ISSUER, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET, authorization: { params: { scope: '' } } })],
  callbacks: { session: ({ session, token }) => ({ ...session, user: { ...session.user, id: token.sub } }) },
})

const cookies = new Map()
const ask = (method, action, query = {}, body = {}) => new Promise((resolve, reject) => {
  const answer = { status: 200, headers: {} }
  const response = {
    status(code) { answer.status = code; return this },
    getHeader: (name) => answer.headers[name.toLowerCase()],
    setHeader(name, value) { answer.headers[name.toLowerCase()] = value; return this },
    send(body) { answer.body = body; this.end() },
    json(body) { this.send(body) },
    end() {
      for (const cookie of answer.headers['set-cookie'] ?? []) {
        const [, name, value] = /^([^=]*)=([^;]*)/.exec(cookie)
        if (value === '' || /max-age=0/i.test(cookie)) cookies.delete(name)
        else cookies.set(name, decodeURIComponent(value))
      }
      resolve(answer)
    },
  }
  handler({ method, query: { nextauth: action.split('/'), ...query }, cookies: Object.fromEntries(cookies), headers: { host: 'app.example' }, body }, response)
    .catch(reject)
})

const { csrfToken } = (await ask('GET', 'csrf')).body
const begun = await ask('POST', 'signin/boxyhq-saml', TENANT ? { tenant: TENANT, product: PRODUCT } : {}, { csrfToken, callbackUrl: '/', json: 'true' })
console.log(begun.body.url)
const back = new URL((await createInterface({ input: process.stdin })[Symbol.asyncIterator]().next()).value)
const done = await ask('GET', 'callback/boxyhq-saml', Object.fromEntries(back.searchParams))
const { user } = (await ask('GET', 'session')).body
console.log(JSON.stringify({ userinfo: { sub: user?.id, email: user?.email, name: user?.name }, leftTo: done.headers.location }))
process.exit(0)
