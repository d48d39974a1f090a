import type { LookupFunction } from "node:net";
import type { FetchKeys } from "./jwt.ts";

/** Far more than any issuer has keys. */
const BYTES_MAX = 512 * 1024;

/**
 * Gets JSON Web Key Sets. Redirects are not followed; `lookup` and `refuses` say which addresses may be asked, by name and
 * as they are written.
 */
export function newKeySetFetch(allowed: {
  readonly lookup: LookupFunction | undefined;
  readonly refuses: (hostname: string) => boolean;
}): FetchKeys {
  return async (address, { signal }) => {
    const url = new URL(address);
    if (allowed.refuses(url.hostname)) {
      throw new Error(
        `${url.hostname} is an address inside a network; set private-destinations to allow those`,
      );
    }
    const text = await get(url, allowed.lookup, signal);
    return new Response(text, { status: 200, headers: { "content-type": "application/json" } });
  };
}

function get(url: URL, lookup: LookupFunction | undefined, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    // Loaded by the first who asks: TLS, and what an import of node:http brings along, would be a part of each start.
    const { request } = process.getBuiltinModule(url.protocol === "https:" ? "node:https" : "node:http");
    const outgoing = request(url, {
      agent: false,
      signal,
      ...(lookup && { lookup }),
      headers: { accept: "application/json", "user-agent": "lambdad" },
    });
    outgoing.on("error", (error) => reject(signal.aborted ? signal.reason : error));
    outgoing.on("response", (answer) => {
      if (answer.statusCode !== 200) {
        answer.destroy();
        reject(new Error(`${url.origin} answered ${answer.statusCode}`));
        return;
      }
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on("data", (chunk: Buffer) => {
        bytes += chunk.byteLength;
        if (bytes > BYTES_MAX) answer.destroy(new Error(`${url.origin} sends more than ${BYTES_MAX} bytes`));
        else chunks.push(chunk);
      });
      answer.on("error", reject);
      answer.on("end", () => resolve(Buffer.concat(chunks).toString()));
    });
    outgoing.end();
  });
}
