import type {
  Query,
  QueryClient,
  QueryFilters,
  QueryKey,
  UseInfiniteQueryResult,
} from "@tanstack/react-query";

/**
 * Reads again what has changed. What is being read just now (the next page that somebody asked for) is read to its end
 * first and then again: it may have been asked for before the change, and cancelling it would lose what was asked.
 */
export async function readAgain(client: QueryClient, which: QueryFilters): Promise<void> {
  const found = client.getQueryCache().findAll(which);
  await Promise.all(
    found.map(async (query) => {
      await ended(client, query);
      await client.invalidateQueries({ queryKey: query.queryKey, exact: true });
    }),
  );
}

/** Until nothing reads it any more. What a logout has cleared away reads for ever: it is not waited for. */
export async function ended(client: QueryClient, query: Query): Promise<void> {
  const isThere = () => client.getQueryCache().get(query.queryHash) === query;
  while (isThere() && query.state.fetchStatus === "fetching") await query.promise?.catch(() => undefined);
}

/**
 * Keeps what the answer to a change says of what was read under `queryKey`. A reading that is still under way may be
 * older and would overwrite it: it is given up, and all is read again.
 */
export function keep(client: QueryClient, queryKey: QueryKey, answer: unknown): void {
  const isBeingRead = client.isFetching({ queryKey, exact: true }) > 0;
  void client.cancelQueries({ queryKey, exact: true });
  client.setQueryData(queryKey, answer);
  if (isBeingRead) void client.invalidateQueries({ queryKey, exact: true });
}

type Pages = Pick<UseInfiniteQueryResult, "isFetching" | "refetch" | "fetchNextPage">;

/** Asks for the next page; a list that is being read again is read to its end first, or it would stay as it was. */
export async function readOn(list: Pages): Promise<void> {
  if (list.isFetching) await list.refetch({ cancelRefetch: false });
  await list.fetchNextPage();
}
