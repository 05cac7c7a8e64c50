// An OpenID Connect provider for tests: whoever types a name is that person.
import Provider from "oidc-provider";

const [port, redirect] = process.argv.slice(2);
const groups = { rita: ["radiology", "staff"], olaf: ["staff"], root: ["radiology", "it"] };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "sightline",
      client_secret: "a secret: of/the+tests",
      redirect_uris: [redirect],
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  claims: {
    openid: ["sub"],
    profile: ["name", "preferred_username"],
    groups: ["groups"],
  },
  cookies: { keys: ["of the tests"] },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      name: `${id} of the ward`,
      preferred_username: id,
      groups: groups[id] ?? [],
    }),
  }),
});

provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
