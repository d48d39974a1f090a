import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readJavaScript, readPython } from "./source-exports.ts";

const JAVASCRIPT: readonly (readonly [string, readonly string[]])[] = [
  ["export const handler = async () => 1;", ["handler"]],
  ["export async function handler(event) {}", ["handler"]],
  ["export async function* run() {}", ["run"]],
  ["export let handler: Handler<Event> = async (event) => {};", ["handler"]],
  ["export function handler<T>(event: T) {}", ["handler"]],
  ["const x = 1; export { x as handler };", ["handler"]],
  ["export { handler, type Event, init as start } from './impl.js';", ["handler", "start"]],
  ["export const { handler, run: other } = make();", ["handler", "other"]],
  ["export class Api {}", ["Api"]],
  ["exports.handler = async function () {};", ["handler"]],
  ["module.exports.handler = serverless(app);", ["handler"]],
  ["module.exports = { handler, run: () => ({ a: 1, b }), async start() {} };", ["handler", "run", "start"]],
  ["0 && (module.exports = {\n  handler\n});", ["handler"]],
  ["Object.defineProperty(exports, '__esModule', { value: true });\nexports.handler = void 0;", ["handler"]],
  // What only looks like one.
  ["// export const handler = 1", []],
  ["/* exports.handler = 1 */", []],
  ["const text = 'exports.handler = 1';", []],
  ["const text = `\nexport const handler = 1\n`;", []],
  ["const text = `a ${ {b: `export const no = 1`} } exports.handler = 1`; export const run = 1", ["run"]],
  ["const a = /[/]exports.handler = /; export const run = 1", ["run"]],
  ["const half = a / b; export const run = 1; // /", ["run"]],
  ["export type { handler };", []],
  ["export type handler = () => void;", []],
  ["export interface handler {}", []],
  ["if (exports.handler === undefined) {}", []],
  ["const handler = 1;", []],
  ["", []],
  ["export {", []],
  ["module.exports = {", []],
  ["const open = `${", []],
];

const PYTHON: readonly (readonly [string, readonly string[]])[] = [
  ["def handler(event, context):\n  return 1", ["handler"]],
  ["async def lambda_handler (event, context): pass", ["lambda_handler"]],
  ["handler = Mangum(app)", ["handler"]],
  ["handler: Handler = make()", ["handler"]],
  ["from impl import handler", ["handler"]],
  ["from impl import other, main as handler", ["other", "handler"]],
  ["class A:\n  def handler(self): pass", []],
  ["# def handler(event, context):", []],
  ['"""\ndef handler(event, context):\n"""', []],
  ["handler == 1", []],
];

describe("readJavaScript", () => {
  for (const [source, names] of JAVASCRIPT) {
    it(JSON.stringify(source), () => assert.deepEqual([...readJavaScript(source).exports], names));
  }

  it("sees servers and CommonJS", () => {
    const server = readJavaScript(
      "const http = require('node:http'); http.createServer().listen(process.env.PORT)",
    );
    assert.deepEqual(server, { exports: new Set(), listens: true, isCommonJs: true });
    const module = readJavaScript("// app.listen(1)\nimport a from 'a'; const text = 'require(1)';");
    assert.deepEqual(module, { exports: new Set(), listens: false, isCommonJs: false });
  });

  const large: readonly (readonly [string, string])[] = [
    ["minified code", 'function a(b){return b?"x":`y${b}`/2}'.repeat(100_000)],
    ["export lists that never close", "export {a,".repeat(400_000)],
    ["objects that never close", "module.exports = {a:[(".repeat(100_000)],
    ["templates that never close", `\`$${"{".repeat(2_000_000)}`],
    ["spaces", `export function${" ".repeat(2_000_000)}(`],
    ["comments that never close", "/* ".repeat(1_000_000)],
    ["slashes", "a/".repeat(2_000_000)],
  ];
  for (const [what, source] of large) {
    // Time that grows with the square of the length would be hours here.
    it(`reads megabytes of ${what} in a moment`, { timeout: 60_000 }, () => {
      readJavaScript(source);
    });
  }
});

describe("readPython", () => {
  for (const [source, names] of PYTHON) {
    it(JSON.stringify(source), () => assert.deepEqual([...readPython(source)], names));
  }
});
