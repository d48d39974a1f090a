/** A heap whose first item has the lowest key; items with the same key come in no order. */
export class MinHeap<Item> {
  readonly #items: Item[] = [];
  readonly #keyOf: (item: Item) => number;

  constructor(keyOf: (item: Item) => number) {
    this.#keyOf = keyOf;
  }

  get first(): Item | undefined {
    return this.#items[0];
  }

  push(item: Item): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = items[parentAt];
      if (parent === undefined || this.#keyOf(parent) <= this.#keyOf(item)) break;
      items[at] = parent;
      at = parentAt;
    }
    items[at] = item;
  }

  pop(): Item | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return first;
    const key = this.#keyOf(last);
    let at = 0;
    for (;;) {
      const leftAt = 2 * at + 1;
      const left = items[leftAt];
      if (left === undefined) break;
      const right = items[leftAt + 1];
      const isRight = right !== undefined && this.#keyOf(right) < this.#keyOf(left);
      const child = isRight ? right : left;
      if (this.#keyOf(child) >= key) break;
      items[at] = child;
      at = isRight ? leftAt + 1 : leftAt;
    }
    items[at] = last;
    return first;
  }
}
