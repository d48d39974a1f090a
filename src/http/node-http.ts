/**
 * node:http without its module facade: `import … from "node:http"` reads every export, and reading one of them loads
 * the whole fetch client, which is 20 ms of the daemon's start. Types are imported as usual.
 */
export const nodeHttp = process.getBuiltinModule("node:http");
