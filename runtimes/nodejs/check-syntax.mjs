// Prints the first syntax error in an ES module and the modules that it imports by relative path. Runs none of them.
import { existsSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { SourceTextModule } from "node:vm";

const FILES_MAX = 500;
const files = new Set([process.argv[2]]);
for (const file of files) {
  try {
    const module = new SourceTextModule(readFileSync(file, "utf8"), { identifier: file });
    for (const specifier of specifiersOf(module)) {
      const target = resolve(dirname(file), specifier);
      if (/^\.{0,2}\//.test(specifier) && existsSync(target) && files.size < FILES_MAX) files.add(target);
    }
  } catch (error) {
    process.stdout.write(String(error.stack));
    break;
  }
}

/** @param {any} module */
function specifiersOf(module) {
  return module.moduleRequests?.map((request) => request.specifier) ?? module.dependencySpecifiers;
}
