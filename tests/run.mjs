// Runs the test suite and ends with one plain line: `N passed, N failed` (and skipped ones, each with its reason).
//
//   node tests/run.mjs [--long] [--evidence | --evidence-only] [--folder=FOLDER] [path …]     paths are files or folders
//
// Without a path: what is in FOLDER; without that everything but what has a name of its own (npm run test:docker …) and the
// long suites. With REQUIRE_ALL=1 the named ones too, and a test that lacks an optional tool fails instead of being skipped.
// With --long everything. With --evidence, behind the rest, what proves that nothing accepted is lost, in a shorter form
// than npm run test:faults.
import { once } from "node:events";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const NAMED = [
  "tests/docker/**",
  "tests/aws/**",
  "tests/aws-runtimes/published/**",
  "tests/projects/**",
  "tests/real-code/**",
  "tests/sources/**",
];
const LONG = ["tests/faults/**", "tests/soak/**", "tests/engines/**"];
const EVIDENCE = [
  "events",
  "people-points",
  "event-points",
  "hooks",
  "schedules",
  "projects",
  "canaries",
  "leases",
  "disk-full",
].map((name) => `tests/faults/${name}.test.ts`);
/** What the shorter form does less often. Kills and failpoints are as often as in the long one. */
const EVIDENCE_TIMES = { FAULTS_STOPS: "20", FAULTS_CYCLES: "10" };
const FILE_MS_MAX = 25 * 60_000;

// Every file of tests is a process of its own: what one has compiled of the sources, the next need not compile again.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, "../node_modules/.cache/tests");

const args = process.argv.slice(2);
const isLong = args.includes("--long");
const isEvidenceOnly = args.includes("--evidence-only");
const folder = args.findLast((arg) => arg.startsWith("--folder="))?.slice("--folder=".length);
const paths = args.filter((arg) => !arg.startsWith("--"));
const asked = paths.length === 0 && folder ? [folder] : paths;

const patterns =
  asked.length > 0
    ? asked.map((path) => (path.endsWith(".ts") ? path : `${path.replace(/\/$/, "")}/**/*.test.ts`))
    : ["src/**/*.test.ts", "tests/**/*.test.ts"];
const left = process.env.REQUIRE_ALL === "1" ? LONG : [...NAMED, ...LONG];
const files = globSync(patterns, { exclude: isLong || asked.length > 0 ? [] : left }).sort();

const counts = { passed: 0, failed: 0, skipped: 0 };
const reasons = new Map();
const failures = [];
/** Of each file of tests/faults: how its tests ended, and the figures that they told. */
const faultFiles = new Map();

if (!isEvidenceOnly) await runFiles(files);
if (isEvidenceOnly || args.includes("--evidence")) {
  for (const [name, times] of Object.entries(EVIDENCE_TIMES)) process.env[name] ??= times;
  await runFiles(EVIDENCE);
}
printFigures();
for (const [reason, times] of reasons) console.log(`skipped ${times}: ${reason}`);
for (const failure of failures) console.log(`failed: ${failure}`);
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;

async function runFiles(files) {
  if (files.length === 0) return;
  const stream = run({ files, concurrency: Math.max(2, availableParallelism()), timeout: FILE_MS_MAX });
  stream.on("test:pass", (event) => count(event, "passed"));
  stream.on("test:fail", (event) => count(event, "failed"));
  stream.on("test:stdout", noteFigures);
  stream.on("test:diagnostic", noteFigures);
  const report = stream.compose(spec);
  report.pipe(process.stdout, { end: false });
  await once(report, "end");
}

function count(event, result) {
  const facts = faultFile(event.file);
  if (facts && event.nesting === 0) facts.ms += event.details.duration_ms;
  // What fails in a suite counts there; a suite that fails by itself (a hook, something left behind) counts as itself.
  const isOwn = result === "failed" && event.details.error?.failureType !== "subtestsFailed";
  if (event.details.type === "suite" && !isOwn) return;
  const { skip } = event;
  if (skip !== undefined && skip !== false) {
    counts.skipped += 1;
    if (facts) facts.skipped += 1;
    const reason = typeof skip === "string" ? skip : event.name;
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    return;
  }
  counts[result] += 1;
  if (facts) facts[result] += 1;
  if (result === "failed") failures.push(`${event.file ?? ""}: ${event.name}`);
}

function faultFile(file) {
  const name = file === undefined ? "" : relative(process.cwd(), file);
  if (!name.startsWith("tests/faults/")) return undefined;
  if (!faultFiles.has(name)) faultFiles.set(name, { passed: 0, failed: 0, skipped: 0, ms: 0, figures: [] });
  return faultFiles.get(name);
}

/** Figures are told as an object of JSON, with a name before it or without. */
function noteFigures({ file, message }) {
  const facts = faultFile(file);
  for (const [, name, json] of facts ? message.matchAll(/^(?:# )?([^{}\n]*)(\{.*\})$/gm) : []) {
    try {
      const pairs = Object.entries(JSON.parse(json)).filter(([, value]) => typeof value !== "object");
      facts.figures.push(`${name}${pairs.map((pair) => pair.join("=")).join(" ")}`);
    } catch {
      // It was something else.
    }
  }
}

function printFigures() {
  for (const [name, { passed, failed, skipped, ms, figures }] of faultFiles) {
    console.log(
      `${name}: ${passed} passed, ${failed} failed, ${skipped} skipped, ${Math.round(ms / 1_000)} s`,
    );
    for (const line of figures) console.log(`    ${line}`);
  }
}
