import { skipWithout } from "../e2e/daemon.fake.ts";
import { NATS, startNats } from "./servers.ts";
import { describeSources } from "./sources.ts";

describeSources({
  kind: "nats",
  skip: skipWithout("nats-server", NATS !== undefined),
  start: startNats,
  outlivesKill: true,
});
