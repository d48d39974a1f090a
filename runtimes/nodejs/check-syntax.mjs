// Fails with the first syntax error in an ES module or the modules that it imports by relative path. Runs none of them.
// It is not caught, since Node shows where such an error is only when it dies of it.
import { existsSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { SourceTextModule } from "node:vm";

const FILES_MAX = 500;
const files = new Set([process.argv[2]]);
for (const file of files) {
  const module = new SourceTextModule(readFileSync(file, "utf8"), { identifier: file });
  for (const specifier of specifiersOf(module)) {
    const target = resolve(dirname(file), specifier);
    if (/^\.{0,2}\//.test(specifier) && existsSync(target) && files.size < FILES_MAX) files.add(target);
  }
}

/** @param {any} module */
function specifiersOf(module) {
  return module.moduleRequests?.map((request) => request.specifier) ?? module.dependencySpecifiers;
}
