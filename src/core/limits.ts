/** Everything that can grow, with its bound. AWS's figures where AWS has one (lambda quotas page). */

const KIB = 1024;
const MIB = 1024 * KIB;

export const PAYLOAD_BYTES_MAX = 6 * MIB;
/** Lambda lets a response be a hundred bytes larger than a request. */
export const RESPONSE_BYTES_MAX = 6 * MIB + 100;
export const EVENT_PAYLOAD_BYTES_MAX = 1 * MIB;
/** Of a response that is passed on while it is made; `stream-max` sets another. */
export const STREAMED_RESPONSE_MIB_DEFAULT = 200;
export const STREAMED_RESPONSE_BYTES_MAX = STREAMED_RESPONSE_MIB_DEFAULT * MIB;

export const TIMEOUT_MS_DEFAULT = 3_000;
export const TIMEOUT_MS_MAX = 900_000;
export const INIT_MS_MAX = 10_000;

export const MEMORY_MIB_DEFAULT = 128;
export const MEMORY_MIB_MIN = 128;
export const MEMORY_MIB_MAX = 10_240;
/** One whole CPU per this much memory, as on Lambda. */
export const MEMORY_MIB_PER_CPU = 1_769;
/** Of a function that says how much CPU it may have; more than the host has is as much as it has. */
export const CPUS_MIN = 0.05;
export const CPUS_MAX = 256;

export const TMP_MIB_DEFAULT = 512;
export const TMP_MIB_MAX = 10_240;
export const PIDS_MAX = 256;
export const OPEN_FILES_MAX = 1_024;

export const ENVIRONMENT_BYTES_MAX = 4 * KIB;

export const ARCHIVE_BYTES_MAX = 250 * MIB;
export const CODE_BYTES_MAX = 262_144_000;
export const CODE_FILES_MAX = 65_536;
/** Layers of one function. */
export const LAYERS_MAX = 5;

/** Events that wait or run, of one function and in all; the next one gets 429. */
export const EVENTS_PER_FUNCTION_MAX = 100_000;
export const EVENTS_MAX = 1_000_000;
/** Of what a call by an event returned, what is kept. */
export const EVENT_RESULT_BYTES_MAX = 1 * MIB;
/** Events that run at once, over all functions; each holds its payload in memory. */
export const EVENTS_IN_FLIGHT_MAX = 200;
/** Attempts that are kept of one event: the first few and the last. */
export const ATTEMPTS_KEPT_MAX = 50;
/** Events that may lead to one another by destinations before that counts as a loop: Lambda's figure. */
export const EVENT_DEPTH_MAX = 16;
/** An event with a key that was used in this time is the one that used it. */
export const IDEMPOTENCY_MS = 24 * 3_600_000;
export const IDEMPOTENCY_KEY_LENGTH_MAX = 256;

/** Schedules, targets of rules included; the next one is refused. */
export const SCHEDULES_MAX = 10_000;
/** Missed instants that a schedule may make up for. */
export const CATCH_UP_MAX = 100;
export const SCHEDULE_JITTER_MS_MAX = 24 * 3_600_000;

/** Queues that functions are called for; the next one is refused. */
export const SOURCES_MAX = 1_000;
/** Batches of messages that run at once, over all sources; each is held in memory. */
export const SOURCE_BATCHES_MAX = 200;
/** AWS's figures. */
export const SOURCE_BATCH_MESSAGES_MAX = 10_000;
export const SOURCE_WINDOW_MS_MAX = 300_000;

/** The next one is refused. */
export const HOOKS_MAX = 1_000;
/** GitHub sends up to 25 MiB, but for pushes of thousands of files at once stays below this. */
export const HOOK_BODY_BYTES_MAX = 4 * MIB;
/** The one in use, and the one it takes the place of. */
export const HOOK_SECRETS_MAX = 2;
/** How long the one before stays good, unless it is said. */
export const HOOK_SECRET_OVERLAP_MS_DEFAULT = 24 * 3_600_000;
/** How far the time of a signed request may be from ours, either way. */
export const HOOK_CLOCK_SKEW_MS_MAX = 5 * 60_000;
/** Of a hook, how many deliveries are remembered so that none is taken twice, and how long. */
export const HOOK_IDS_KEPT_MAX = 20_000;
export const HOOK_IDS_KEPT_MS = 30 * 24 * 3_600_000;
/** Deliveries of a hook that are listed: those that were refused must not push out the others. */
export const HOOK_DELIVERIES_KEPT_MAX = 1_000;
export const HOOK_REFUSALS_KEPT_MAX = 200;

/** Routes of the gateway; the next one is refused. */
export const ROUTES_MAX = 10_000;

/** Instances of one function when it sets no limit of its own; calls beyond wait in the queue. */
export const INSTANCES_PER_FUNCTION_DEFAULT = 10;
/** Calls that wait for an instance of one function; the next one gets 429. */
export const WAITING_CALLS_MAX = 1_000;

export const LOG_LINE_BYTES_MAX = 256 * KIB;
export const LOG_BYTES_PER_INVOCATION_MAX = 1 * MIB;
export const LOG_BYTES_PER_FUNCTION_MAX = 100 * MIB;
/** Of an invocation's log, what Invoke with LogType Tail returns. */
export const LOG_TAIL_BYTES = 4 * KIB;

/** Of an invocation that is recorded: a larger input is not, of a larger output its size and hash are. */
export const RECORDING_INPUT_BYTES_MAX = 256 * KIB;
export const RECORDING_OUTPUT_BYTES_MAX = 256 * KIB;
/** On disk; the oldest go first. */
export const RECORDING_BYTES_PER_FUNCTION_MAX = 64 * MIB;
export const RECORDING_KEEP_MS_DEFAULT = 7 * 24 * 3_600_000;
export const RECORDING_KEEP_MS_MAX = 30 * 24 * 3_600_000;
export const RECORDING_KEEP_MS_MIN = 3_600_000;
export const RECORDING_REDACT_MAX = 100;

/** Minutes of metrics are kept for so long, and as far as all of them take no more. The oldest day goes first. */
export const METRIC_DAYS_MAX = 15;
export const METRIC_BYTES_MAX = 256 * MIB;
/** Functions that are counted in memory at a time, and series of each; what comes beyond is counted as `_other`. */
export const METRIC_FUNCTIONS_MAX = 2_000;
export const METRIC_SERIES_PER_FUNCTION_MAX = 64;

export const HEADER_BYTES_MAX = 16 * KIB;
export const HEADERS_MAX = 100;
export const CONNECTIONS_MAX = 2_000;
