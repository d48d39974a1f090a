import { CliError } from "../cli-error.ts";
import type { ApiClient } from "../client.ts";
import { messageOf } from "../settings.ts";
import { readStatus } from "../wire.ts";
import type { Check } from "./check.ts";

/** What a running daemon says of itself; that none runs is no fault of the machine. */
export async function checkServer(openClient: () => Promise<ApiClient>): Promise<Check[]> {
  const name = "Server";
  try {
    const client = await openClient();
    const status = readStatus(await client.json("GET", "/v1/status", { silenceMsMax: 5_000 }));
    const gaps = status.gaps.map((gap) => ({
      name,
      status: status.isIsolated ? ("weak" as const) : ("missing" as const),
      found: gap,
      remedy: undefined,
    }));
    const found = `lambdad ${status.version} at ${client.server}, gateway ${status.gateway}`;
    return [{ name, status: "ok", found, remedy: undefined }, ...gaps];
  } catch (error) {
    const remedy = error instanceof CliError ? error.hint : undefined;
    return [{ name, status: "absent", found: messageOf(error), remedy }];
  }
}
