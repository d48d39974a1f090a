/** How AWS clients name layers and their versions. */
import { PlatformError } from "../../../core/errors.ts";
import { type Account, constraint } from "./names.ts";

const LAYER_ARN = "arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+";
export const LAYER_VERSION_ARN = `${LAYER_ARN}:[0-9]+`;
const PATTERN = `(${LAYER_ARN})|[a-zA-Z0-9-_]+`;
const NAME_LENGTH_MAX = 140;

export function layerArn({ account, region }: Account, layerName: string): string {
  return `arn:aws:lambda:${region}:${account}:layer:${layerName}`;
}

export function layerVersionArn(account: Account, layerName: string, number: number): string {
  return `${layerArn(account, layerName)}:${number}`;
}

/** The bare name. @throws PlatformError `ValidationFailed`; `ResourceNotFound` for a layer of another account or region. */
export function parseLayerName(text: string, own: Account): string {
  if (text.length > NAME_LENGTH_MAX) {
    const rule = `Member must have length less than or equal to ${NAME_LENGTH_MAX}`;
    throw constraint("ValidationFailed", text, "layerName", rule);
  }
  if (!new RegExp(`^(?:${PATTERN})$`).test(text)) {
    const rule = `Member must satisfy regular expression pattern: ${PATTERN}`;
    throw constraint("ValidationFailed", text, "layerName", rule);
  }
  const name = text.slice(text.lastIndexOf(":") + 1);
  if (text.includes(":") && text !== layerArn(own, name)) throw noSuchResource();
  return name;
}

/** @throws PlatformError `InvalidRequest` for what cannot be a number. */
export function parseLayerNumber(text: string): number {
  if (!/^[0-9]{1,15}$/.test(text)) {
    throw new PlatformError(
      "InvalidRequest",
      `VersionNumber: expected a whole number, got ${JSON.stringify(text)}`,
    );
  }
  const number = Number(text);
  if (number < 1) throw new PlatformError("InvalidRequest", "Layer Version Cannot be less than 1.");
  return number;
}

/** Name and number of a version of ours; undefined for another account's or region's. @throws PlatformError `ValidationFailed`. */
export function parseLayerVersionArn(
  arn: string,
  own: Account,
): { readonly layerName: string; readonly number: number } | undefined {
  const [, layerName = "", number = ""] = /:layer:([^:]+):([0-9]+)$/.exec(arn) ?? [];
  if (!new RegExp(`^(?:${LAYER_VERSION_ARN})$`).test(arn)) {
    const rule = `Member must satisfy regular expression pattern: ${LAYER_VERSION_ARN}`;
    throw constraint("ValidationFailed", arn, "arn", rule);
  }
  const isOurs = arn === layerVersionArn(own, layerName, Number(number));
  return isOurs ? { layerName, number: Number(number) } : undefined;
}

export function noSuchResource(): PlatformError {
  return new PlatformError("ResourceNotFound", "The resource you requested does not exist.");
}
