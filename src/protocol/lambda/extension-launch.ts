/**
 * How external extensions run beside a runtime in one sandbox: a shell starts each in a process of its own, waits for a
 * line on its input (all have registered), then runs the runtime. It stays, and says on stderr what nobody else can:
 *
 *   MARK line NAME TEXT     a line that an extension has written
 *   MARK exit NAME STATUS   an extension has left
 *   MARK runtime STATUS     the runtime has left; the extensions may still be there
 *
 * Its first SIGTERM goes on to the runtime as it is, the second one kills it.
 */
import type { SandboxLaunch } from "../../sandbox/driver.ts";

/** What extensions are not told: the runtime's own affairs. Names with `_` in front are left out, too. */
const HIDDEN: readonly string[] = [
  "AWS_EXECUTION_ENV",
  "AWS_LAMBDA_LOG_GROUP_NAME",
  "AWS_LAMBDA_LOG_STREAM_NAME",
  "AWS_XRAY_CONTEXT_MISSING",
  "AWS_XRAY_DAEMON_ADDRESS",
  "LAMBDA_RUNTIME_DIR",
  "LAMBDA_TASK_ROOT",
];

const SUPERVISE = `
mark=$1 folder=$2 hidden=$3
shift 3
say() { printf '%s %s\\n' "$mark" "$*" >&2; }
for file in "$folder"/*; do
  if [ -f "$file" ] && [ -x "$file" ]; then
    name=\${file##*/}
    {
      {
        (unset $hidden; cd / && exec "$file") 2>&1 < /dev/null 3>&-
        say exit "$name" "$?"
      } | while IFS= read -r line || [ -n "$line" ]; do say line "$name" "$line"; done
    } &
  fi
done
read -r go || exit 0
exec < /dev/null
"$@" &
runtime=$!
trap 'kill -TERM "$runtime"; trap "kill -KILL $runtime" TERM' TERM
while :; do
  wait "$runtime"
  status=$?
  kill -0 "$runtime" 2> /dev/null || break
done
say runtime "$status"
trap "" TERM
wait
exit "$status"
`;

export function superviseExtensions(
  launch: SandboxLaunch,
  own: { readonly mark: string; readonly folder: string },
): SandboxLaunch {
  const hidden = [...HIDDEN, ...Object.keys(launch.environment).filter((name) => name.startsWith("_"))];
  const words = hidden.filter((name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)).join(" ");
  return {
    ...launch,
    command: ["/bin/sh", "-c", SUPERVISE, "extensions", own.mark, own.folder, words, ...launch.command],
  };
}

/** What the supervising shell has said. */
export type Notice =
  | { readonly kind: "line"; readonly name: string; readonly text: string }
  | { readonly kind: "exit"; readonly name: string; readonly status: number }
  | { readonly kind: "runtime"; readonly status: number };

/** Undefined for a line that is not the shell's. */
export function parseNotice(line: string, mark: string): Notice | undefined {
  if (!line.startsWith(`${mark} `)) return undefined;
  const [kind, ...rest] = line.slice(mark.length + 1).split(" ");
  const [name = "", ...text] = rest;
  switch (kind) {
    case "line":
      return { kind, name, text: text.join(" ") };
    case "exit":
      return { kind, name, status: Number(text[0]) };
    case "runtime":
      return { kind, status: Number(name) };
    default:
      return undefined;
  }
}
