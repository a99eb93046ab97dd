/** Rows that lie in pages of any length, found by their number: pure, and as quick for a hundred thousand. */
export type Paged<T> = readonly (readonly T[])[];

/** The number of each page's first row, and last the number of all rows. */
export function startsOf(pages: Paged<unknown>): number[] {
  const starts = [0];
  let sum = 0;
  for (const page of pages) starts.push((sum += page.length));
  return starts;
}

export function rowAt<T>(pages: Paged<T>, starts: readonly number[], index: number): T | undefined {
  let [low, high] = [0, pages.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((starts[middle] ?? 0) <= index) low = middle;
    else high = middle - 1;
  }
  return pages[low]?.[index - (starts[low] ?? 0)];
}
