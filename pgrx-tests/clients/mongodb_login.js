// The driver of MongoDB for Node: a SCRAM client of its own. Arguments as of mongodb_login.py.
const { MongoClient } = require("mongodb");

const [port, user, mechanism] = process.argv.slice(2);
const client = new MongoClient(`mongodb://127.0.0.1:${port}/`, {
  auth: { username: user, password: process.env.PASSWORD },
  directConnection: true,
  ...(mechanism === "any" ? {} : { authMechanism: mechanism }),
});

async function main() {
  try {
    const { ok } = await client.db("admin").command({ ping: 1 });
    if (ok !== 1) process.exit(2);
  } catch (error) {
    process.exit(error.code === 18 ? 1 : (console.error(error), 2));
  }
  await client.close();
}

main();
