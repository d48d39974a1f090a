import { type FunctionName, newSourceId, parseFunctionName, type SourceId } from "../core/ids.ts";
import type { Source } from "../core/source.ts";

/** A source of function `greet`, for tests. */
export function sampleSource(change: Partial<Source> = {}): Source {
  const functionName: FunctionName | undefined = parseFunctionName("greet");
  if (!functionName) throw new TypeError("greet is a name");
  const id: SourceId = newSourceId();
  return {
    id,
    functionName,
    qualifier: undefined,
    origin: {
      kind: "sqs",
      queueArn: "arn:aws:sqs:us-east-1:000000000000:orders",
      endpoint: undefined,
      login: undefined,
    },
    batchMax: 10,
    windowMs: 0,
    concurrencyMax: undefined,
    reportsFailures: false,
    filters: [],
    onFailure: undefined,
    isPaused: false,
    tags: {},
    owner: undefined,
    generation: 1,
    createdAt: 1_000,
    modifiedAt: 1_000,
    ...change,
  };
}
