import { monitorEventLoopDelay } from "node:perf_hooks";

/** What the daemon itself takes of this machine. */
export interface HostLoad {
  /**
   * Of the time since the last reading that was at least half a minute before. Watching costs 50 wake-ups a second, so it
   * begins with the first reading, which therefore has no delays to tell.
   */
  read(): HostReading;
}

export interface HostReading {
  /** How much later than asked for the event loop comes to things; undefined before it was watched for a moment. */
  readonly loopDelayMs:
    | { readonly p50: number; readonly p99: number; readonly max: number; readonly mean: number }
    | undefined;
  /** Share of the time that the event loop was busy, 0 to 1. */
  readonly loopUtilization: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  /** Since the start, of all threads. */
  readonly cpuSeconds: number;
  readonly uptimeSeconds: number;
}

/** The timer that is late tells how long it slept, this included. */
const RESOLUTION_MS = 20;
const SPAN_MS_MIN = 30_000;

type DelayHistogram = ReturnType<typeof monitorEventLoopDelay>;

export function newHostLoad(): HostLoad {
  let delays: DelayHistogram | undefined;
  let beganAt = performance.now();
  let begun = performance.eventLoopUtilization();
  return {
    read() {
      const { user, system } = process.cpuUsage();
      const { rss, heapUsed } = process.memoryUsage();
      const reading: HostReading = {
        loopDelayMs: delays && delays.count > 0 ? delaysIn(delays) : undefined,
        loopUtilization: performance.eventLoopUtilization(begun).utilization,
        residentBytes: rss,
        heapBytes: heapUsed,
        cpuSeconds: (user + system) / 1e6,
        uptimeSeconds: process.uptime(),
      };
      if (delays === undefined) {
        delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
        delays.enable();
        beganAt = performance.now();
        begun = performance.eventLoopUtilization();
      } else if (performance.now() - beganAt >= SPAN_MS_MIN) {
        delays.reset();
        beganAt = performance.now();
        begun = performance.eventLoopUtilization();
      }
      return reading;
    },
  };
}

function delaysIn(delays: DelayHistogram): HostReading["loopDelayMs"] {
  const late = (ns: number) => Math.max(0, ns / 1e6 - RESOLUTION_MS);
  return {
    p50: late(delays.percentile(50)),
    p99: late(delays.percentile(99)),
    max: late(delays.max),
    mean: late(delays.mean),
  };
}
