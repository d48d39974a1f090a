import { skipWithout } from "../e2e/daemon.fake.ts";
import { findMoto, startSqs } from "./servers.ts";
import { describeSources } from "./sources.ts";

const moto = findMoto();

describeSources({
  kind: "sqs",
  skip: skipWithout("moto (from PyPI, by pip)", moto !== undefined),
  start: () => startSqs(moto ?? ""),
  outlivesKill: false,
});
