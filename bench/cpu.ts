/** CPU time of this thread so far, milliseconds: steadier than the clock on a machine that is shared. */
export function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
