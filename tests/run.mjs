// Runs the test suite and ends with one plain line: `N passed, N failed` (and skipped ones, each with its reason).
//
//   node tests/run.mjs [--long] [path …]     paths are files or folders
//
// Without a path: everything but what has a name of its own (npm run test:docker …) and the long suites. With REQUIRE_ALL=1
// the named ones too, and a test that lacks an optional tool fails instead of being skipped. With --long everything.
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const NAMED = ["tests/docker/**", "tests/aws/**", "tests/sources/**", "tests/aws-runtimes/published/**"];
const LONG = ["tests/faults/**", "tests/soak/**"];
const args = process.argv.slice(2);
const isLong = args.includes("--long");
const asked = args.filter((arg) => !arg.startsWith("--"));

const patterns =
  asked.length > 0
    ? asked.map((path) => (path.endsWith(".ts") ? path : `${path.replace(/\/$/, "")}/**/*.test.ts`))
    : ["src/**/*.test.ts", "tests/**/*.test.ts"];
const left = process.env.REQUIRE_ALL === "1" ? LONG : [...NAMED, ...LONG];
const files = globSync(patterns, { exclude: isLong || asked.length > 0 ? [] : left }).sort();

const counts = { passed: 0, failed: 0, skipped: 0 };
const reasons = new Map();
const failures = [];

const stream = run({ files, concurrency: Math.max(2, availableParallelism()), timeout: 20 * 60_000 });
stream.on("test:pass", (event) => count(event, "passed"));
stream.on("test:fail", (event) => count(event, "failed"));

function count(event, result) {
  // What fails in a suite counts there; a suite that fails by itself (a hook, something left behind) counts as itself.
  const isOwn = result === "failed" && event.details.error?.failureType !== "subtestsFailed";
  if (event.details.type === "suite" && !isOwn) return;
  const { skip } = event;
  if (skip !== undefined && skip !== false) {
    counts.skipped += 1;
    const reason = typeof skip === "string" ? skip : event.name;
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    return;
  }
  counts[result] += 1;
  if (result === "failed") failures.push(`${event.file ?? ""}: ${event.name}`);
}

stream.compose(spec).pipe(process.stdout);
stream.on("end", () => {
  setImmediate(() => {
    for (const [reason, times] of reasons) console.log(`skipped ${times}: ${reason}`);
    for (const failure of failures) console.log(`failed: ${failure}`);
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
    console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
    process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
  });
});
