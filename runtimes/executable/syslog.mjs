// Errors to syslog.
//
// The machine's own log takes datagrams at /dev/log, which Node cannot send; `logger` (util-linux, busybox) can, so one of
// those is kept running and given a line for each error. Where there is no /dev/log or no logger, as in a minimal image,
// errors go by UDP to port 514 of this machine. By UDP a message is RFC 5424's, one datagram each (RFC 5426):
//
//   <11>1 2026-05-04T03:02:01.000Z HOST NAME PID - - text          11: facility user, severity error
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { accessSync, constants } from "node:fs";
import { hostname } from "node:os";

const LOCAL_SOCKET = "/dev/log";
const LOGGERS = ["/usr/bin/logger", "/bin/logger", "/usr/local/bin/logger"];
const PORT_DEFAULT = 514;
const PRIORITY = 11;
/** What every receiver should take (RFC 5426, 3.2). */
const DATAGRAM_BYTES_MAX = 2048;

/** `close` resolves when what was written is out. @typedef {{where: string, write: (text: string) => void, close: () => Promise<void>}} Syslog */

/**
 * @param {string} target `local` or `HOST:PORT`
 * @param {string} name of the program, for the log
 * @returns {Syslog}
 */
export function openSyslog(target, name) {
  const tag = name.replace(/[^\w.-]/g, "_").slice(0, 48);
  if (target !== "local") {
    const colon = target.lastIndexOf(":");
    const host = target.slice(0, colon).replace(/^\[|\]$/g, "");
    return udpSyslog(host, Number(target.slice(colon + 1)), tag);
  }
  const logger = isThere(LOCAL_SOCKET, constants.W_OK) ? findLogger() : undefined;
  return logger === undefined ? udpSyslog("127.0.0.1", PORT_DEFAULT, tag) : loggerSyslog(logger, [], tag);
}

/**
 * @param {string} logger
 * @param {readonly string[]} flags
 * @param {string} tag
 * @returns {Syslog}
 */
export function loggerSyslog(logger, flags, tag) {
  const child = spawn(logger, [...flags, "-t", `${tag}[${process.pid}]`, "-p", "user.err"], {
    stdio: ["pipe", "ignore", "inherit"],
  });
  // An error of ours must not become another one of its log's.
  child.on("error", (error) => process.stderr.write(`syslog: cannot run ${logger}: ${error.message}\n`));
  child.stdin.on("error", () => undefined);
  child.unref();
  return {
    where: `this machine's syslog, by ${logger}`,
    // logger sends a line for a message; a stack is one message.
    write: (text) => void child.stdin.write(`${text.replaceAll("\n", " | ")}\n`),
    close: () =>
      new Promise((resolve) => {
        child.once("close", () => resolve());
        if (child.exitCode !== null || child.pid === undefined) resolve();
        child.ref();
        child.stdin.end();
      }),
  };
}

/**
 * @param {string} host
 * @param {number} port
 * @param {string} tag
 * @returns {Syslog}
 */
export function udpSyslog(host, port, tag) {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  // UDP promises nothing; a name that is not known is worth a line.
  socket.on("error", (error) => process.stderr.write(`syslog: ${error.message}\n`));
  socket.unref();
  /** @type {Set<Promise<void>>} */
  const sending = new Set();
  return {
    where: `syslog at ${host}:${port} by UDP`,
    write(text) {
      const head = `<${PRIORITY}>1 ${new Date().toISOString()} ${hostname() || "-"} ${tag} ${process.pid} - - `;
      const message = Buffer.from(head + text).subarray(0, DATAGRAM_BYTES_MAX);
      const sent = new Promise((resolve) => {
        socket.send(message, port, host, (error) => {
          if (error) process.stderr.write(`syslog: ${error.message}\n`);
          sending.delete(sent);
          resolve();
        });
      });
      sending.add(sent);
    },
    async close() {
      socket.ref();
      await Promise.all(sending);
      socket.close();
    },
  };
}

function findLogger() {
  return LOGGERS.find((path) => isThere(path, constants.X_OK));
}

/**
 * @param {string} path
 * @param {number} mode
 */
function isThere(path, mode) {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
