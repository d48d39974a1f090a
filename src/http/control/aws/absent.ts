/**
 * Features that there are not here. Their operations answer what AWS answers an account that has none of them: lists are
 * empty, nothing is found, and what would make one is refused with the reason. Nothing ever pretends to have happened.
 */
import { PlatformError } from "../../../core/errors.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import { layerVersionArn, parseLayerName, parseLayerNumber } from "./layer-names.ts";
import { namedBy } from "./lookup.ts";
import type { AbsentOperation } from "./routes.ts";
import { violations } from "./validation.ts";
import { parsePage } from "./wire.ts";

type Answer = (parts: ControlParts, request: ControlRequest) => Promise<Reply>;

const NOT_FOUND = "The resource you requested does not exist.";

export const ABSENT: Readonly<Record<AbsentOperation, Answer>> = {
  GetLayerVersionPolicy: noLayerPolicy,
  AddLayerVersionPermission: refused("layers are for the functions of this account only"),
  RemoveLayerVersionPermission: noLayerPolicy,

  CreateCodeSigningConfig: refused("signatures of code are not checked"),
  ListCodeSigningConfigs: emptyList("CodeSigningConfigs"),
  GetCodeSigningConfig: noCodeSigning,
  UpdateCodeSigningConfig: noCodeSigning,
  DeleteCodeSigningConfig: noCodeSigning,
  ListFunctionsByCodeSigningConfig: noCodeSigning,
  PutFunctionCodeSigningConfig: ofFunction(noCodeSigning),
  // There is none to take away, and that is what was asked for.
  DeleteFunctionCodeSigningConfig: ofFunction(async () => emptyReply(204)),

  CreateCapacityProvider: refused("functions run on this host"),
  ListCapacityProviders: emptyList("CapacityProviders"),
  GetCapacityProvider: notFound,
  UpdateCapacityProvider: notFound,
  DeleteCapacityProvider: notFound,
  ListFunctionVersionsByCapacityProvider: notFound,
  GetFunctionScalingConfig: ofFunction(notFound),
  PutFunctionScalingConfig: ofFunction(
    refused("it is for functions of a capacity provider, and there are none"),
  ),

  ListDurableExecutionsByFunction: ofFunction(emptyList("DurableExecutions")),
  GetDurableExecution: notFound,
  GetDurableExecutionHistory: notFound,
  GetDurableExecutionState: notFound,
  CheckpointDurableExecution: notFound,
  StopDurableExecution: notFound,
  SendDurableExecutionCallbackSuccess: notFound,
  SendDurableExecutionCallbackFailure: notFound,
  SendDurableExecutionCallbackHeartbeat: notFound,
};

function refused(why: string): Answer {
  return async (_, { route }) => {
    throw new PlatformError("UnsupportedMember", `${route.name} is not supported by lambdad: ${why}`);
  };
}

function emptyList(member: string): Answer {
  return async (_, request) => {
    parsePage(request.query);
    return jsonReply(200, { [member]: [] });
  };
}

async function notFound(): Promise<never> {
  throw new PlatformError("ResourceNotFound", NOT_FOUND);
}

/** The answer, once it is sure that the function is there. */
function ofFunction(answer: Answer): Answer {
  return async (parts, request) => {
    await parts.functions.get(namedBy(request).name);
    return await answer(parts, request);
  };
}

async function noLayerPolicy(parts: ControlParts, { params }: ControlRequest): Promise<never> {
  const layerName = parseLayerName(params.LayerName ?? "", parts);
  const number = parseLayerNumber(params.VersionNumber ?? "");
  const isThere = (await parts.layers.findVersion(layerName, number)) !== undefined;
  throw new PlatformError(
    "ResourceNotFound",
    isThere
      ? "No policy is associated with the given resource."
      : `Layer version ${layerVersionArn(parts, layerName, number)} does not exist.`,
  );
}

const CODE_SIGNING_ARN =
  /^arn:aws[a-zA-Z0-9-]*:lambda:[a-z0-9-]+:\d{12}:code-signing-config:csc-[a-z0-9]{17}$/;

async function noCodeSigning(_: ControlParts, { params, json }: ControlRequest): Promise<never> {
  const inBody: unknown =
    typeof json === "object" && json !== null ? Reflect.get(json, "CodeSigningConfigArn") : undefined;
  const arn = params.CodeSigningConfigArn ?? inBody;
  if (typeof arn !== "string" || !CODE_SIGNING_ARN.test(arn)) {
    const shown = arn === undefined ? "null" : `'${String(arn).slice(0, 200)}'`;
    throw violations([
      `Value ${shown} at 'codeSigningConfigArn' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:code-signing-config:csc-[a-z0-9]{17}`,
    ]);
  }
  throw new PlatformError(
    "CodeSigningNotFound",
    `The code signing configuration cannot be found. Check that the provided configuration is not deleted: ${arn}.`,
  );
}
