import { runCli } from "./cli/cli.ts";
import { processHost } from "./cli/host.ts";

// No await at the top level: what is bundled for a quick start cannot have one.
void runCli(processHost()).then((code) => {
  process.exitCode = code;
});
