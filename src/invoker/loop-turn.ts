/** Told when a turn of the event loop is over. */
export interface TurnTask {
  turned(): void;
}

let tasks: TurnTask[] = [];

/**
 * Tells the task when all that had arrived from anywhere when this turn of the event loop began has been read. One immediate
 * for all who ask in a turn.
 */
export function whenTurnRead(task: TurnTask): void {
  if (tasks.length === 0) setImmediate(tellAll);
  tasks.push(task);
}

function tellAll(): void {
  const due = tasks;
  tasks = [];
  for (const task of due) task.turned();
}

let pending: Promise<void> | undefined;

/** The same as a promise. */
export function turnRead(): Promise<void> {
  pending ??= new Promise((resolve) => {
    whenTurnRead({
      turned() {
        pending = undefined;
        resolve();
      },
    });
  });
  return pending;
}
