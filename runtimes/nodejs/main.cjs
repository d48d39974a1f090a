// The managed Node runtime: runs inside a sandbox, one process per instance, and turns frames into handler calls.
// It starts generic (connected, loaded, waiting), so that it can be kept ready for any function; the first frame makes
// it one function's. Start time is what this folder is written for: CommonJS, since an ES module costs twice as much to
// load, few files, and nothing loaded before it is needed.
"use strict";

const { connect, FRAME } = require("./connection.cjs");
const { identityOf, specialise } = require("./specialise.cjs");
const { offerTrace } = require("./trace.cjs");

void main();

async function main() {
  const { _LAMBDAD_SOCKET: socketPath, _LAMBDA_TELEMETRY_LOG_FD: logDescriptor } = process.env;
  delete process.env._LAMBDAD_SOCKET;
  delete process.env._LAMBDA_TELEMETRY_LOG_FD;
  const environment = offerTrace();
  const emptyRoot = identityOf(environment.LAMBDA_TASK_ROOT);
  const connection = await connect(socketPath);
  const parts = {
    connection,
    environment,
    emptyRoot,
    logDescriptor: logDescriptor === undefined ? undefined : Number(logDescriptor),
  };
  let frame = await connection.nextFrame();
  if (frame.type === FRAME.rehearse) {
    await require("./rehearsal.cjs").rehearse(parts, frame);
    connection.send(FRAME.rehearsed, 0, "", "");
    frame = await connection.nextFrame();
  }
  await specialise(parts, frame);
}
