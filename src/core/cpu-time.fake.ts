/** ms of CPU that this thread takes for it; unlike the time that passes, about the same on a busy machine. */
export function cpuMsOf(work: () => void): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
}
