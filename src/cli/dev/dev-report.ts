/** What happens while `lambda dev` runs: a line for people, or one of JSON. */
export type DevReport =
  | { readonly type: "note"; readonly text: string }
  | { readonly type: "build"; readonly function: string; readonly text: string }
  | {
      readonly type: "live";
      readonly release: number;
      /** False where there was such a release already. */
      readonly isNew: boolean;
      /** Names of those that changed. */
      readonly functions: readonly string[];
      /** Of all, by name. */
      readonly urls: Readonly<Record<string, string>>;
      /** From the first change that was seen. */
      readonly tookMs: number;
    }
  | {
      readonly type: "problem";
      readonly function: string | undefined;
      readonly message: string;
      /** Where its code is, for a look at the lines that the message names. */
      readonly folder: string | undefined;
    }
  | { readonly type: "log"; readonly function: string; readonly stream: string; readonly text: string }
  | {
      readonly type: "call";
      readonly function: string;
      readonly id: string | undefined;
      readonly durationMs: number;
      /** Of the start, for a call that had to wait for one. */
      readonly initMs: number | undefined;
      readonly memoryMib: number | undefined;
      /** `ok`, or what it came to instead: `error`, `timeout`. */
      readonly status: string;
    };
