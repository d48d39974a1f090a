/**
 * Podman of an ordinary user. Of a driver's side it has nothing that Podman of root and Docker of a user (tests/docker) do not
 * have; it starts a process for each request and takes minutes. Not beside those: engines share the host's network rules.
 */
import { describeOtherEngine } from "../docker/other-engines.suite.ts";

await describeOtherEngine("rootless podman", { isWhole: false });
