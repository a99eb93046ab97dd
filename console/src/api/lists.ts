/**
 * Lists that are read page by page and stay true while they are looked at.
 *
 * Rules of this file:
 * - Nothing loaded is loaded again: of the sessions that changed, their rows are asked for and put where they belong.
 * - Pages get longer and shorter by that; the cursor of the next page stays what it was.
 */
import type { InfiniteData, Query, QueryClient } from "@tanstack/react-query";
import { ended } from "./again";

export interface ListPage<Row> {
  rows: readonly Row[];
  /** Where the next page begins: after `end`, the last row when this page was read; null: it is the last page. */
  next: { cursor: string; end: Row } | null;
}

export function pageOf<Row>(rows: readonly Row[], cursor: string | null): ListPage<Row> {
  const end = rows.at(-1);
  return { rows, next: cursor !== null && end !== undefined ? { cursor, end } : null };
}

/** How a list's rows are ordered, which session each is of, and what the list says of some sessions now. */
export interface LiveList<Row> {
  compare: (one: Row, other: Row) => number;
  sessionOf: (row: Row) => string;
  read: (sessionIds: string[]) => Promise<readonly Row[]>;
}

declare module "@tanstack/react-query" {
  interface Register {
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- one kind of meta for lists of every kind of row
    queryMeta: { live?: LiveList<any> };
  }
}

/** The options of such a list: read when it is opened, then kept true by events. */
export const liveList = <Row>(live: LiveList<Row>) => ({
  initialPageParam: null as string | null,
  getNextPageParam: (page: ListPage<Row>) => page.next?.cursor ?? null,
  meta: { live },
  staleTime: Number.POSITIVE_INFINITY,
  gcTime: 0,
  structuralSharing: false as const, // comparing a hundred thousand rows with themselves
});

type Data<Row> = InfiniteData<ListPage<Row>, string | null>;
const MOST_AT_ONCE = 100; // sessions the agent is asked for by name

/** Brings every list that is looked at up to date after these sessions changed; null: anything may have. */
export async function bringUpToDate(client: QueryClient, changed: ReadonlySet<string> | null): Promise<void> {
  if (changed?.size === 0) return;
  for (const query of client.getQueryCache().findAll({ type: "active" })) {
    if (query.meta?.live === undefined) continue;
    if (changed && changed.size <= MOST_AT_ONCE) await patch(client, query, query.meta.live, changed);
    else {
      await ended(client, query);
      client.setQueryData<Data<unknown>>(query.queryKey, firstOf);
      void client.invalidateQueries({ queryKey: query.queryKey });
    }
  }
}

/** What the list became while the rows were asked for may be newer than they are: then they are asked for again. */
async function patch<Row>(
  client: QueryClient,
  query: Query,
  list: LiveList<Row>,
  changed: ReadonlySet<string>,
): Promise<void> {
  const isThere = () => client.getQueryCache().get(query.queryHash) === query; // who opens it again reads it anew
  while (isThere()) {
    await ended(client, query);
    const before = query.state.data as Data<Row> | undefined;
    const fresh = await list.read([...changed]);
    if (query.state.data !== before || query.state.fetchStatus === "fetching") continue;
    if (isThere() && before) client.setQueryData(query.queryKey, patched(before, fresh, changed, list));
    return;
  }
}

/** Only the first page: what is read again at once. */
const firstOf = (data: Data<unknown> | undefined): Data<unknown> | undefined =>
  data && { pages: data.pages.slice(0, 1), pageParams: data.pageParams.slice(0, 1) };

/** The list with the rows of the changed sessions as they are now; what lies beyond the loaded pages comes with them. */
export function patched<Row>(
  data: Data<Row>,
  fresh: readonly Row[],
  changed: ReadonlySet<string>,
  list: LiveList<Row>,
): Data<Row> {
  const isOld = (row: Row) => changed.has(list.sessionOf(row));
  const pages = data.pages.map((page) =>
    page.rows.some(isOld) ? { ...page, rows: page.rows.filter((row) => !isOld(row)) } : page,
  );
  for (const row of fresh) insert(pages, row, list.compare);
  return { ...data, pages };
}

function insert<Row>(pages: ListPage<Row>[], row: Row, compare: LiveList<Row>["compare"]): void {
  const at = pages.findIndex(({ next }) => next === null || compare(row, next.end) <= 0);
  const page = pages[at];
  if (page) pages[at] = { ...page, rows: [...page.rows, row].sort(compare) };
}
