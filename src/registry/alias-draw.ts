/** Whether one call of an alias goes to the second version; `random` gives 0 up to, but not including, 1. */
export function drawsSecond(weight: number, random: () => number): boolean {
  return random() < weight;
}
