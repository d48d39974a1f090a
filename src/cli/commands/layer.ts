import { resolve } from "node:path";
import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { formatFacts, formatTable } from "../table.ts";
import { formatAge, formatBytes } from "../units.ts";
import { Fields } from "../wire.ts";
import { openSource } from "./deploy.ts";

export interface PublishLayerOptions {
  readonly description?: string;
}

const UPLOAD_MS_MAX = 10 * 60_000;
const PAGE = 500;

/** A folder is packed as it is; an archive is sent as it is. */
export async function publishLayer(
  { output, client, host }: Command,
  name: string,
  path: string,
  options: PublishLayerOptions,
): Promise<void> {
  const source = await openSource(resolve(host.workingDir, path), path);
  const answer = await (await client()).json("POST", layerPath(name), {
    query: { description: options.description, fileName: source.fileName },
    upload: await source.open(),
    headers: { "content-type": "application/octet-stream", ...source.headers },
    silenceMsMax: UPLOAD_MS_MAX,
  });
  if (output.isJson) return await output.json(answer);
  const layer = readLayer(answer);
  await output.write(`${layer.name}:${layer.number} is published: ${layer.arn}\n`);
}

export async function listLayers({ output, client }: Command): Promise<void> {
  const api = await client();
  const layers: unknown[] = [];
  let after: string | undefined;
  do {
    const page = new Fields("layers", await api.json("GET", "/v1/layers", { query: { after, limit: PAGE } }));
    layers.push(...page.list("layers"));
    after = page.optionalText("next");
  } while (after !== undefined);
  if (output.isJson) return await output.json({ layers });
  if (layers.length === 0) output.note("no layers yet: lambda layer publish NAME FOLDER makes one");
  else
    await output.write(
      formatTable(
        ["LAYER", ...TITLES],
        layers.map((layer) => [readLayer(layer).name, ...cells(layer)]),
      ),
    );
}

export async function showLayer({ output, client }: Command, name: string): Promise<void> {
  const answer = await (await client()).json("GET", layerPath(name));
  if (output.isJson) return await output.json(answer);
  const fields = new Fields("layer", answer);
  await output.write(
    formatFacts([
      ["Layer", fields.text("name")],
      ["ARN", fields.text("arn")],
    ]),
  );
  await output.write(`\n${formatTable(TITLES, fields.list("versions").map(cells))}`);
}

/** `NAME:NUMBER`. */
export async function deleteLayer({ output, client }: Command, text: string): Promise<void> {
  const [name = "", number = ""] = text.split(":");
  if (!/^\d+$/.test(number)) throw usageError(`${text}: expected NAME:NUMBER, such as tools:3`);
  await (await client()).json("DELETE", `${layerPath(name)}/${number}`);
  if (output.isJson) await output.json({ deleted: text });
  else output.note(`${text} is deleted; functions that use it keep it`);
}

const TITLES = ["VERSION", "SIZE", "PUBLISHED", "DESCRIPTION"] as const;

interface LayerView {
  readonly name: string;
  readonly number: number;
  readonly arn: string;
  readonly description: string;
  readonly createdAt: number;
  readonly treeBytes: number;
}

function readLayer(answer: unknown): LayerView {
  const fields = new Fields("layer", answer);
  return {
    name: fields.text("name"),
    number: fields.number("number"),
    arn: fields.text("arn"),
    description: fields.text("description"),
    createdAt: fields.number("createdAt"),
    treeBytes: fields.number("treeBytes"),
  };
}

function cells(answer: unknown): string[] {
  const { number, treeBytes, createdAt, description } = readLayer(answer);
  return [String(number), formatBytes(treeBytes), formatAge(createdAt, Date.now()), description];
}

function layerPath(name: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(name)) return `/v1/layers/${name}`;
  throw usageError(`layer ${JSON.stringify(name)}: expected up to 64 letters, digits, - and _`);
}
