import type { Config } from "../config/config.ts";
import type { FunctionName, HookId } from "../core/ids.ts";
import type { ReleaseRef } from "../core/project.ts";

/** The addresses under which functions are told to be, in the first of the gateway's domains. */
export function functionUrls(config: Config, gatewayPort: number) {
  const domain = config.domains[0] ?? "localhost";
  const port = gatewayPort === 80 ? "" : `:${gatewayPort}`;
  return {
    ofHost: (host: string | undefined) => `http://${host ?? domain}${port}`,
    ofFunction: (name: FunctionName) => `http://${name}.${domain}${port}`,
    ofRelease: ({ project, number }: ReleaseRef) => `http://r${number}--${project}.${domain}${port}`,
    ofUrlId: (urlId: string) => `http://${urlId}.lambda-url.${config.region}.${domain}${port}/`,
    ofHook: (id: HookId) => `http://${domain}${port}/_hooks/${id}`,
  };
}
