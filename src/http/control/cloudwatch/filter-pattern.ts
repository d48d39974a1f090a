/**
 * CloudWatch's filter patterns for text: `ERROR`, `"two words"`, several (all of them), `?a ?b` (any of them), `-word`
 * (not it). Patterns for JSON (`{ … }`), for columns (`[ … ]`) and regular expressions (`%…%`) are refused.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
 */
import { PlatformError } from "../../../core/errors.ts";

const LENGTH_MAX = 1_024;

/** Whether a line fits. @throws PlatformError `InvalidRequest` for a pattern that is not understood. */
export function parseFilterPattern(pattern: string): (text: string) => boolean {
  const trimmed = pattern.trim();
  if (trimmed.length > LENGTH_MAX) throw invalid(`expected at most ${LENGTH_MAX} characters`);
  if (/^[{[]/.test(trimmed))
    throw invalid("patterns for JSON and for columns are not supported by lambdad; give words");
  if (/%/.test(trimmed)) throw invalid("regular expressions are not supported by lambdad; give words");
  const terms = [...trimmed.matchAll(/([?-]?)(?:"((?:[^"\\]|\\.)*)"|(\S+))/g)].map(
    ([, sign, quoted, word]) => ({
      sign,
      text: quoted === undefined ? (word ?? "") : quoted.replace(/\\(.)/g, "$1"),
    }),
  );
  const of = (sign: string) => terms.filter((term) => term.sign === sign).map((term) => term.text);
  const [all, any, none] = [of(""), of("?"), of("-")];
  return (text) =>
    all.every((term) => text.includes(term)) &&
    (any.length === 0 || any.some((term) => text.includes(term))) &&
    !none.some((term) => text.includes(term));
}

function invalid(why: string): PlatformError {
  return new PlatformError("InvalidRequest", `filterPattern: ${why}`);
}
