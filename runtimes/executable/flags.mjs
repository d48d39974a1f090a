// The flags of an executable made by `lambda bundle`, in the manner of Go programs: `-port 80`, `-port=80` and `--port 80`
// are the same, and a flag that takes no value may still be given one with `=`.

const PORT_DEFAULT = 8080;
const SLOTS_DEFAULT = 10;
const SLOTS_MAX = 10_000;

/**
 * @typedef {object} Flags
 * @property {number} port 0 takes any that is free
 * @property {string | undefined} host undefined is every address of the machine
 * @property {number} slots requests at the same time
 * @property {string | undefined} syslog `local`, `HOST:PORT`, or undefined for none
 * @property {boolean} info
 * @property {boolean} help
 */

/** A command line that cannot be understood; the message is for its user. */
export class FlagError extends Error {
  name = "FlagError";
}

const TAKES_VALUE = ["port", "host", "slots"];
const KNOWN = [...TAKES_VALUE, "syslog", "info", "help"];

/**
 * @param {readonly string[]} argv
 * @param {Readonly<Record<string, string | undefined>>} environment `PORT` and `HOST` count where no flag was given
 * @returns {Flags}
 */
export function readFlags(argv, environment) {
  const given = new Map();
  for (let at = 0; at < argv.length; at += 1) {
    const [, name, value] = /^--?([a-z]+|h)(?:=([\s\S]*))?$/.exec(argv[at]) ?? [];
    const known = name === "h" ? "help" : KNOWN.find((each) => each === name);
    if (known === undefined) throw new FlagError(`unknown argument ${JSON.stringify(argv[at])}`);
    if (value !== undefined || !TAKES_VALUE.includes(known)) given.set(known, value ?? "");
    else if (at + 1 < argv.length) given.set(known, argv[++at]);
    else throw new FlagError(`-${known} needs a value`);
  }
  return {
    port: readPort(given, environment.PORT),
    host: given.get("host") || environment.HOST || undefined,
    slots: readNumber("-slots", given.get("slots") ?? String(SLOTS_DEFAULT), 1, SLOTS_MAX),
    syslog: given.has("syslog") ? readSyslog(given.get("syslog")) : undefined,
    info: given.has("info"),
    help: given.has("help"),
  };
}

/** @param {string} program */
export function helpText(program) {
  return `Usage: ${program} [flags]

  -port N              port to serve on [$PORT, else ${PORT_DEFAULT}]
  -host ADDRESS        address to serve on [$HOST, else all of this machine]
  -slots N             requests at the same time, each with a context of its own [${SLOTS_DEFAULT}]
  -syslog[=HOST:PORT]  errors go to syslog too: this machine's own, or by UDP to another
  -info                print name, version and build, and exit
  -help                print this
`;
}

/**
 * @param {Map<string, string>} given
 * @param {string | undefined} fromEnvironment
 */
function readPort(given, fromEnvironment) {
  const flag = given.get("port");
  if (flag !== undefined) return readNumber("-port", flag, 0, 65_535);
  return fromEnvironment ? readNumber("PORT", fromEnvironment, 0, 65_535) : PORT_DEFAULT;
}

/**
 * @param {string} name
 * @param {string} text
 * @param {number} min
 * @param {number} max
 */
function readNumber(name, text, min, max) {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new FlagError(`${name}: expected a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`);
}

/** @param {string} text */
function readSyslog(text) {
  if (text === "") return "local";
  const [, host, port] = /^(\[[0-9A-Fa-f:.]+\]|[^:\s]+):(\d{1,5})$/.exec(text) ?? [];
  if (host !== undefined && Number(port) >= 1 && Number(port) <= 65_535) return text;
  throw new FlagError(`-syslog: expected HOST:PORT, got ${JSON.stringify(text)}`);
}
