import { createHash } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { type Hook, type HookDelivery, isOpenOutcome } from "../../core/hook.ts";
import type { DeliveryId, HookId } from "../../core/ids.ts";
import { deliverySequenceOf, newEventSequence } from "../event-sequence.ts";
import type { Deployments, Hooks, NewDelivery, ReplayMarks, Taken } from "../hooks.ts";
import type { Access } from "./access.ts";
import { DELIVERY_ROW, deliveryOf, deliveryRow, outcomeNumber, takenDelivery } from "./delivery-rows.ts";
import { HOOK_ROW, hookDocument, parseHook } from "./documents.ts";
import type { EventRow } from "./event-operations.ts";
import type { HookRow } from "./hook-operations.ts";
import type { SqliteEvents } from "./sqlite-events.ts";

const MARK_BYTES = 16;

/** The hooks in SQLite: reads here, writes by the writer. */
export function openHooks(
  { read, write }: Access,
  events: SqliteEvents,
  clock: Clock,
): { readonly hooks: Hooks; readonly deployments: Deployments } {
  let nextSequence: (() => number) | undefined;

  /** Most daemons never have a hook, so the last number is looked up when the first delivery comes. */
  function newSequence(): number {
    nextSequence ??= newEventSequence(
      () => clock.now(),
      Number(read((db) => db.get("SELECT max(sequence) AS last FROM hook_delivery"))?.last ?? 0),
    );
    return nextSequence();
  }

  function findDelivery(hookId: HookId, sequence: number): HookDelivery | undefined {
    const sql = `SELECT ${DELIVERY_ROW} FROM hook_delivery WHERE sequence = ? AND hook_id = ?`;
    const row = read((db) => db.get(sql, sequence, hookId));
    return row && deliveryOf(row);
  }

  async function take(delivery: NewDelivery, marks: ReplayMarks): Promise<Taken> {
    const sequence = newSequence();
    const { hookId, at, event } = delivery;
    const { ids, signed } = marks;
    let known: number | undefined;
    let eventSequence: number | undefined;
    const put = async (eventRow: EventRow | undefined): Promise<boolean> => {
      eventSequence = eventRow?.sequence;
      known = await write("takeDelivery", {
        row: deliveryRow(sequence, delivery, eventSequence),
        at,
        ids: ids.map(markOf),
        signed: signed && { mark: markOf(signed.text), firstAtMin: at - signed.msMax },
        event: eventRow,
      });
      return known === undefined;
    };
    if (event) await events.addBy(event, put);
    else await put(undefined);
    if (known !== undefined) return { kind: "known", first: findDelivery(hookId, known) };
    return { kind: "taken", delivery: takenDelivery(sequence, delivery, eventSequence) };
  }

  const hooks: Hooks = {
    async save(hook) {
      await write("saveHook", hookRow(hook));
    },
    async find(id) {
      const row = read((db) => db.get(`SELECT ${HOOK_ROW} FROM hook WHERE id = ?`, id));
      return row && parseHook(row);
    },
    async findByName(name) {
      const row = read((db) => db.get(`SELECT ${HOOK_ROW} FROM hook WHERE name = ?`, name));
      return row && parseHook(row);
    },
    async list({ after, limit }) {
      const sql = `SELECT ${HOOK_ROW} FROM hook WHERE name > ? ORDER BY name LIMIT ?`;
      return read((db) => db.all(sql, after ?? "", limit)).map(parseHook);
    },
    remove: (id) => write("deleteHook", { id }),
    take,
    async findDelivery(hookId, id) {
      const sequence = deliverySequenceOf(id);
      return sequence === undefined ? undefined : findDelivery(hookId, sequence);
    },
    async deliveries(hookId, { before, limit }) {
      const below = before === undefined ? undefined : deliverySequenceOf(before);
      const sql = `SELECT ${DELIVERY_ROW} FROM hook_delivery WHERE hook_id = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?`;
      return read((db) => db.all(sql, hookId, below ?? Number.MAX_SAFE_INTEGER, limit)).map(deliveryOf);
    },
    async deploymentLog(id) {
      const row = read((db) => db.get("SELECT log FROM hook_delivery WHERE sequence = ?", numberOf(id)));
      return typeof row?.log === "string" ? row.log : "";
    },
  };

  const deployments: Deployments = {
    async waiting() {
      const sql = `SELECT ${DELIVERY_ROW} FROM hook_delivery INDEXED BY hook_delivery_open WHERE outcome IN (5, 6) AND outcome = 5 ORDER BY sequence`;
      const found: { hook: Hook; delivery: HookDelivery }[] = [];
      for (const delivery of read((db) => db.all(sql)).map(deliveryOf)) {
        const hook = await hooks.find(delivery.hookId);
        if (hook && isOpenOutcome(delivery.outcome)) found.push({ hook, delivery });
      }
      return found;
    },
    async recover() {
      const open = read((db) =>
        db.get(
          "SELECT 1 FROM hook_delivery INDEXED BY hook_delivery_open WHERE outcome IN (5, 6) AND outcome = 6 LIMIT 1",
        ),
      );
      if (open)
        await write("recoverDeployments", { note: "the daemon went away in the middle; tried again" });
    },
    begin: (id, at) => write("beginDeployment", { sequence: numberOf(id), at }),
    log: (id, log) => write("logDeployment", { sequence: numberOf(id), log }),
    end: (id, { outcome, note, version, log, endedAt }) =>
      write("endDeployment", {
        sequence: numberOf(id),
        outcome: outcomeNumber(outcome),
        note: note ?? null,
        version: version ?? null,
        log,
        endedAt,
      }),
    async hasTried(hookId, commit) {
      const sql =
        "SELECT 1 FROM hook_delivery WHERE hook_id = ? AND commit_id = ? AND outcome IN (7, 8) LIMIT 1";
      return read((db) => db.get(sql, hookId, commit)) !== undefined;
    },
  };
  return { hooks, deployments };
}

export function hookRow(hook: Hook): HookRow {
  const { id, name, functionName, deploy } = hook;
  return { id, name, functionName, needsFunction: deploy === undefined, ...hookDocument(hook) };
}

/** 0, which no delivery has, for what is no id of one. */
function numberOf(id: DeliveryId): number {
  return deliverySequenceOf(id) ?? 0;
}

/** Senders may make their ids as long as they like. */
function markOf(text: string): Uint8Array {
  return createHash("sha256").update(text).digest().subarray(0, MARK_BYTES);
}
