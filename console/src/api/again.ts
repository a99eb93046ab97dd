import type { QueryClient, QueryFilters } from "@tanstack/react-query";

/**
 * Reads again what has changed. What is being read just now (the next page that somebody asked for) is read to its end
 * first and then again: it may have been asked for before the change, and cancelling it would lose what was asked.
 */
export async function readAgain(client: QueryClient, which: QueryFilters): Promise<void> {
  const found = client.getQueryCache().findAll(which);
  await Promise.all(
    found.map(async (query) => {
      while (query.state.fetchStatus === "fetching") await query.promise?.catch(() => undefined);
      await client.invalidateQueries({ queryKey: query.queryKey, exact: true });
    }),
  );
}
