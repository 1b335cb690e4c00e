// EJSON of Node's bson: writes a user of admin.system.users, as mongodb_user.py does.
const { EJSON, UUID } = require("bson");

const [form, credentials] = process.argv.slice(2);
const user = {
  _id: "admin.ann",
  userId: new UUID("00000000-0000-0000-0000-000000000001"),
  user: "ann",
  db: "admin",
  credentials: EJSON.parse(credentials),
  roles: [{ role: "readWrite", db: "app" }],
};
console.log(EJSON.stringify(user, { relaxed: form === "relaxed" }));
