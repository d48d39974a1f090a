/** Three functions that call each other while their releases change, and what became of the calls. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFolder, type TestDaemon, until } from "../e2e/daemon.fake.ts";

export interface Switching {
  /** Chains that were answered by functions of one release, by its number. */
  readonly answered: ReadonlyMap<string, number>;
  /** Answers of which parts are of other releases than the rest. */
  readonly mixed: readonly string[];
  /** What was answered otherwise. */
  readonly failed: readonly string[];
  readonly switchMs: readonly number[];
}

/** `a` calls `b` by HTTP, `b` calls `c` by AWS's API with the credentials that it finds. */
const A = `export const handler = async () => {
  const response = await fetch(\`\${process.env.LAMBDAD_URL}/b\`);
  if (!response.ok) throw new Error(\`b answered \${response.status}: \${await response.text()}\`);
  return [process.env.MARK, ...(await response.json())];
};
`;
const B = `import { createHash, createHmac } from "node:crypto";
const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const { AWS_ENDPOINT_URL_LAMBDA: endpoint, AWS_REGION: region } = process.env;
/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
async function invoke(name) {
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: token } = process.env;
  const url = new URL(\`/2015-03-31/functions/\${name}/invocations\`, endpoint);
  const time = new Date().toISOString().replace(/[-:]|\\.\\d{3}/g, "");
  const scope = \`\${time.slice(0, 8)}/\${region}/lambda/aws4_request\`;
  const body = "{}";
  const hash = createHash("sha256").update(body).digest("hex");
  const signed = "host;x-amz-date;x-amz-security-token";
  const head = \`host:\${url.host}\\nx-amz-date:\${time}\\nx-amz-security-token:\${token}\\n\`;
  const canonical = ["POST", url.pathname, "", head, signed, hash].join("\\n");
  const toSign = ["AWS4-HMAC-SHA256", time, scope, createHash("sha256").update(canonical).digest("hex")].join("\\n");
  const key = [time.slice(0, 8), region, "lambda", "aws4_request"].reduce(hmac, \`AWS4\${secret}\`);
  const authorization = \`AWS4-HMAC-SHA256 Credential=\${id}/\${scope}, SignedHeaders=\${signed}, Signature=\${hmac(key, toSign).toString("hex")}\`;
  const headers = { authorization, "x-amz-date": time, "x-amz-security-token": token };
  const response = await fetch(url, { method: "POST", body, headers });
  if (!response.ok) throw new Error(\`c answered \${response.status}: \${await response.text()}\`);
  return response.json();
}
export const handler = async () => [process.env.MARK, await invoke("c")];
`;
const C = "export const handler = async () => process.env.MARK;\n";

const IN_FLIGHT_MAX = 30;
const LIVE_MS_MAX = 120_000;

/** Deploys the project and switches releases `switches` times while at least `chains` calls are made, `perSecond` of them. */
export async function switchUnderLoad(
  daemon: TestDaemon,
  {
    chains,
    perSecond,
    switches,
  }: { readonly chains: number; readonly perSecond: number; readonly switches: number },
): Promise<Switching> {
  using folder = makeFolder({ "a/index.mjs": A, "b/index.mjs": B, "c/index.mjs": C });
  const deploy = async (mark: number) => {
    const file = `project: trio\nenvironment: { MARK: "${mark}" }\nfunctions:\n  a: { timeout: 600 }\n  b: { timeout: 600, calls: [c] }\n  c: { timeout: 600 }\n`;
    writeFileSync(join(folder.path, "lambda.yaml"), file);
    const ran = await daemon.lambda("deploy", folder.path);
    if (ran.code !== 0) throw new Error(ran.stderr);
  };
  for (const mark of [1, 2]) await deploy(mark);

  const answered = new Map<string, number>();
  const mixed: string[] = [];
  const failed: string[] = [];
  let inFlight = 0;
  const call = async () => {
    inFlight += 1;
    await callOnce();
    inFlight -= 1;
  };
  const callOnce = async () => {
    const { status, text } = await daemon.call("a").catch((error) => ({ status: 0, text: String(error) }));
    if (status !== 200) {
      failed.push(`${status} ${text}`);
      return;
    }
    const marks: string[] = JSON.parse(text);
    if (marks.length === 3 && new Set(marks).size === 1)
      answered.set(marks[0] ?? "", (answered.get(marks[0] ?? "") ?? 0) + 1);
    else mixed.push(text);
  };
  let made = 0;
  let isSwitched = false;
  const calls: Promise<void>[] = [];
  const startedAt = performance.now();
  const loading = (async () => {
    while (made < chains || !isSwitched) {
      const due = Math.ceil(((performance.now() - startedAt) / 1_000) * perSecond);
      // A machine that cannot keep up is not what this is about.
      for (; made < due && inFlight < IN_FLIGHT_MAX; made++) calls.push(call());
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const switchMs: number[] = [];
  for (let time = 0; time < switches; time++) {
    const wanted = ((time + 1) * chains) / (switches + 1);
    while (made < wanted) await new Promise((resolve) => setTimeout(resolve, 5));
    // A new release every other time, an earlier one in between.
    if (time % 2 === 0) {
      await deploy(time + 3);
      // However long it took: it must have been live for somebody before the next switch.
      await until(() => answered.has(`${time + 3}`) || failed.length > 0, LIVE_MS_MAX);
    } else {
      const begunAt = performance.now();
      const answer = await daemon.control("POST", "/v1/projects/trio/switch", {});
      if (answer.status !== 200) throw new Error(answer.text);
      switchMs.push(performance.now() - begunAt);
    }
  }
  isSwitched = true;
  await loading;
  await Promise.all(calls);
  return { answered, mixed, failed, switchMs };
}
