import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { addProgram, busyboxRoot, type TestEngine } from "./engine.ts";

/** Polls the Runtime API with nothing but a shell, and answers with handler, user and event. */
const BOOTSTRAP = `#!/bin/sh
echo "bootstrap of $_HANDLER" >&2
API="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while wget -q -S -O /tmp/event "$API/next" 2>/tmp/headers; do
  id=$(sed -n 's/.*lambda-runtime-aws-request-id: *//Ip' /tmp/headers | tr -d '\\r')
  wget -q -O /dev/null --post-data "{\\"handler\\":\\"$_HANDLER\\",\\"event\\":$(cat /tmp/event)}" "$API/$id/response"
done
`;

/** As in AWS's base images: the emulator only where nobody offers a Runtime API. */
const LAMBDA_ENTRYPOINT = `#!/bin/sh
export _HANDLER="$1"
if [ -z "$AWS_LAMBDA_RUNTIME_API" ]; then
  exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap
else
  exec /var/runtime/bootstrap
fi
`;

/** What is in a container and what is not, said on stdout. */
const SELF_PORTRAIT = `#!/bin/sh
cat > /dev/null
id -u
sed -n 's/^\\(CapEff\\|NoNewPrivs\\|Seccomp\\):[ \\t]*/\\1 /p' /proc/self/status
for at in / /etc /usr /var; do (: > $at/x) 2>/dev/null && echo "wrote $at"; done
(: > /tmp/x) && echo "tmp"
for address in "$@"; do
  nc -w 2 \${address%:*} \${address#*:} </dev/null >/dev/null 2>&1 && echo "reached $address"
done
ls /var/run/docker.sock /run/docker.sock 2>/dev/null
env | grep -i -E 'key|secret|token' || true
echo end
`;

/** Slim language images: `test/node` and `test/python` have this host's interpreters, and nothing that knows of Lambda. */
export async function importLanguages(engine: TestEngine): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "img-"));
  try {
    await busyboxRoot(root);
    // Not under its own path, which may be one that containers have something else at.
    await addProgram(root, process.execPath, "/usr/bin/node");
    await engine.importFolder(root, "test/node:1", ["ENV PATH=/usr/bin:/bin"]);
    await addProgram(root, "/usr/bin/python3");
    await cp("/usr/lib/python3.11", join(root, "usr/lib/python3.11"), {
      recursive: true,
      filter: (path) => !/\/(test|idlelib|ensurepip|dist-packages|config-[^/]*)$/.test(path),
    });
    await engine.importFolder(root, "test/python:1", ["ENV PATH=/usr/bin:/bin"]);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** Images that the tests deploy: `test/box` (busybox), `test/web` (its server on 8000), `test/aws` (like AWS's base images). */
export async function importImages(engine: TestEngine): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "img-"));
  try {
    await busyboxRoot(root);
    const write = async (path: string, text: string) => {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text);
      await chmod(join(root, path), 0o755);
    };
    await write("bin/portrait", SELF_PORTRAIT);
    await write("www/hello", "hello from the image\n");
    await write("www/cgi-bin/env", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nenv | sort\n");
    await engine.importFolder(root, "test/box:1", ["CMD cat"]);
    await engine.importFolder(root, "test/web:1", [
      "EXPOSE 8000",
      'CMD ["httpd", "-f", "-p", "8000", "-h", "/www"]',
    ]);
    await write("var/runtime/bootstrap", BOOTSTRAP);
    await write("lambda-entrypoint.sh", LAMBDA_ENTRYPOINT);
    await mkdir(join(root, "var/task"));
    await engine.importFolder(root, "test/aws:1", [
      "ENV LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime",
      "WORKDIR /var/task",
      'ENTRYPOINT ["/lambda-entrypoint.sh"]',
    ]);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}
