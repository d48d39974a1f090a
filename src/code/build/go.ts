import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type BuildParts, type BuildRun, runTool } from "./tool.ts";

/** Compiles the Go module into a static `bootstrap`, with the toolchain that is here: none is downloaded. */
export async function compileGo(parts: BuildParts, run: BuildRun): Promise<void> {
  const cache = join(parts.cacheDir, "go");
  await mkdir(cache, { recursive: true });
  await runTool(parts, run, {
    title: "go build",
    // Without the tag, aws-lambda-go brings its former protocol along.
    command: ["go", "build", "-tags", "lambda.norpc", "-buildvcs=false", "-o", "bootstrap", "."],
    environment: {
      CGO_ENABLED: "0",
      GOFLAGS: [parts.environment.GOFLAGS, "-trimpath"].filter((flag) => flag).join(" "),
      GOTOOLCHAIN: "local",
      GOCACHE: join(cache, "build"),
      GOPATH: join(cache, "path"),
    },
    remedy: 'install Go, or compile on another machine and deploy the folder with "bootstrap" in it',
  });
}
