// node-pg: a SCRAM client of its own; over TLS with channel binding.
const { Client } = require("pg");

const [port, user, mode] = process.argv.slice(2);
const client = new Client({
  host: "127.0.0.1",
  port: Number(port),
  user,
  password: process.env.PASSWORD,
  database: "postgres",
  ssl: mode === "tls" ? { rejectUnauthorized: false } : false,
  enableChannelBinding: mode === "tls",
});

async function main() {
  try {
    await client.connect();
  } catch (error) {
    process.exit(["28P01", "28000"].includes(error.code) ? 1 : (console.error(error), 2));
  }
  const { rows } = await client.query("SELECT 42 AS answer");
  await client.end();
  if (rows[0].answer !== 42) process.exit(2);
}

main();
