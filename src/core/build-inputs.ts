/** What a build of an image is given besides its folder: arguments, which stay in the image's history, and secrets, which stay nowhere. */
export interface BuildInputs {
  /** By the name that `ARG` has. */
  readonly args: Readonly<Record<string, string>>;
  /** By the id that `RUN --mount=type=secret` has. */
  readonly secrets: ReadonlyMap<string, Uint8Array>;
}

export const NO_BUILD_INPUTS: BuildInputs = { args: {}, secrets: new Map() };

export const BUILD_ARG_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
export const BUILD_ARG_RULE = "letters, digits and _, no digit first";
export const BUILD_ARGS_MAX = 100;
export const BUILD_ARG_LENGTH_MAX = 4_096;

export const BUILD_SECRET_ID = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;
export const BUILD_SECRET_RULE = "letters, digits, _, . and -, at most 64, no . or - first";
export const BUILD_SECRETS_MAX = 20;
/** BuildKit's own limit of one secret. */
export const BUILD_SECRET_BYTES_MAX = 500 * 1_024;
/** Of all secrets of one build. */
export const BUILD_SECRETS_BYTES_MAX = 700 * 1_024;

/** Lines shorter than this would be found in all sorts of words. */
const MASKED_LENGTH_MIN = 6;

/** Takes the lines of secrets out of what a build prints. */
export function secretMask({ secrets }: BuildInputs): (text: string) => string {
  const lines = new Set<string>();
  for (const value of secrets.values()) {
    for (const line of new TextDecoder().decode(value).split(/\r?\n/)) {
      const text = line.trim();
      if (text.length >= MASKED_LENGTH_MIN) lines.add(text);
    }
  }
  // One may begin with another.
  const longestFirst = [...lines].sort((one, other) => other.length - one.length);
  return (text) => longestFirst.reduce((masked, line) => masked.replaceAll(line, "***"), text);
}
