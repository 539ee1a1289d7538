// An OpenID provider that nobody here wrote, for one test: npm's oidc-provider, with its own
// development pages, one client and one account. Says its issuer on standard output once it listens.
//
//   node server.mjs FOLDER   where FOLDER/node_modules has oidc-provider
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder] = process.argv.slice(2);
const entry = join(folder, 'node_modules', 'oidc-provider', 'lib', 'index.js');
const { Provider } = await import(pathToFileURL(entry));
const given = JSON.parse(process.env.OIDC_PROVIDER);

const account = (id) => ({
  accountId: id,
  claims: () => ({ sub: id, email: 'ada@acme.test', name: 'Ada Lovelace', groups: ['mail'] }),
});
const provider = new Provider(given.issuer, {
  clients: [
    {
      client_id: 'email-sender',
      client_secret: given.secret,
      redirect_uris: [given.redirect_uri],
      response_types: ['code'],
      grant_types: ['authorization_code'],
      token_endpoint_auth_method: given.method,
    },
  ],
  claims: { openid: ['sub'], email: ['email'], profile: ['name', 'groups'] },
  conformIdTokenClaims: given.conform,
  findAccount: (_, id) => account(id),
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  cookies: { keys: ['a key of the moment'] },
  jwks: given.jwks,
});
provider.on('server_error', (_, error) => console.error(error));
const server = createServer(provider.callback());
server.listen(Number(new URL(given.issuer).port), '127.0.0.1', () => console.log(given.issuer));
