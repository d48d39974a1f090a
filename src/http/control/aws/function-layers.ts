/** The members of a function's configuration that need more than copying: its layers and its logging. */
import { PlatformError } from "../../../core/errors.ts";
import type { CodeRef, FunctionConfig, LayerUse, Logging } from "../../../core/function.ts";
import { CODE_BYTES_MAX, LAYERS_MAX } from "../../../core/limits.ts";
import type { ControlParts } from "../parts.ts";
import { parseLayerVersionArn } from "./layer-names.ts";
import type { LoggingChange } from "./wire.ts";

/**
 * What a function has at `/opt`, merged here once so that no start has to.
 *
 * @throws PlatformError `InvalidRequest` with AWS's texts: too many, two versions of one layer, one that does not exist,
 * too large together with the code.
 */
export async function layersConfig(
  parts: Pick<ControlParts, "layers" | "depot" | "account" | "region">,
  arns: readonly string[],
  code: CodeRef,
  signal: AbortSignal,
): Promise<Pick<FunctionConfig, "layers" | "optTreeId">> {
  if (arns.length > LAYERS_MAX) {
    throw new PlatformError("InvalidRequest", `Cannot reference more than ${LAYERS_MAX} layers.`);
  }
  refuseTwins(arns);
  const layers = await Promise.all(arns.map((arn) => layerUse(parts, arn)));
  checkSizeWithLayers(code, layers);
  const [first, ...rest] = layers.map((layer) => layer.code.treeId);
  if (first === undefined) return { layers: [], optTreeId: undefined };
  const { treeId } = await parts.depot.merge([first, ...rest], { signal });
  return { layers, optTreeId: treeId };
}

/** @throws PlatformError `InvalidRequest` */
export function checkSizeWithLayers(code: CodeRef, layers: readonly LayerUse[]): void {
  if (layers.length === 0) return;
  const bytes = layers.reduce((sum, layer) => sum + layer.code.treeBytes, code.treeBytes);
  if (bytes <= CODE_BYTES_MAX) return;
  throw new PlatformError(
    "InvalidRequest",
    `Function code combined with layers exceeds the maximum allowed size of ${CODE_BYTES_MAX} bytes. The actual size is ${bytes} bytes.`,
  );
}

/**
 * A change upon what was. Levels begin at INFO with JSON, and are gone with Text.
 *
 * @throws PlatformError `InvalidRequest` for a level without JSON.
 */
export function changedLogging(before: Logging, change: LoggingChange | undefined): Logging {
  if (!change) return before;
  const format = change.format ?? before.format;
  const group = change.group ?? before.group;
  if (format === "JSON") {
    return {
      format,
      applicationLevel: change.applicationLevel ?? before.applicationLevel ?? "INFO",
      systemLevel: change.systemLevel ?? before.systemLevel ?? "INFO",
      group,
    };
  }
  if (change.applicationLevel !== undefined || change.systemLevel !== undefined) {
    throw new PlatformError(
      "InvalidRequest",
      "LoggingConfig: ApplicationLogLevel and SystemLogLevel need the LogFormat JSON, got Text",
    );
  }
  return { format, applicationLevel: undefined, systemLevel: undefined, group };
}

function refuseTwins(arns: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const arn of arns) {
    const layer = arn.slice(0, arn.lastIndexOf(":"));
    const other = seen.get(layer);
    if (other !== undefined) {
      throw new PlatformError(
        "InvalidRequest",
        `Two different versions of the same layer are not allowed to be referenced in the same function. ${other} and ${arn} are versions of the same layer.`,
      );
    }
    seen.set(layer, arn);
  }
}

async function layerUse(
  parts: Pick<ControlParts, "layers" | "account" | "region">,
  arn: string,
): Promise<LayerUse> {
  const named = parseLayerVersionArn(arn, parts);
  const found = named && (await parts.layers.findVersion(named.layerName, named.number));
  if (!found) throw new PlatformError("InvalidRequest", `Layer version ${arn} does not exist.`);
  return { arn, code: found.code };
}
