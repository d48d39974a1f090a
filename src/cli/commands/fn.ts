import { CliError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import type { DeployOptions } from "../deploy-options.ts";
import { functionName, functionPath } from "../names.ts";
import { deploy } from "./deploy.ts";

/** Like deploying the image under that name, for a name that is still free. */
export async function createFunction(
  command: Command,
  name: string,
  image: string,
  options: DeployOptions,
): Promise<void> {
  const api = await command.client();
  const exists = await api.json("GET", functionPath(functionName(name))).then(
    () => true,
    (error: unknown) => {
      if (error instanceof CliError && error.code === "FunctionNotFound") return false;
      throw error;
    },
  );
  if (exists) {
    throw CliError.fromServer(
      undefined,
      "FunctionExists",
      `function ${name} exists already`,
      `lambda deploy --image ${image} --name ${name} makes it its next version`,
    );
  }
  await deploy(command, undefined, { ...options, name, image });
}
