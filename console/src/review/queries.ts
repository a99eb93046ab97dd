import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, read, type Schemas } from "../api/client";
import { type ListPage, liveList, pageOf } from "../api/lists";
import type { paths } from "../api/schema";

type Entry = Schemas["ReviewEntry"];
type Query = NonNullable<paths["/api/v1/reviews"]["get"]["parameters"]["query"]>;

const listOf = (query: Query) => read(api.GET("/api/v1/reviews", { params: { query } }));

export const reviewList = infiniteQueryOptions({
  queryKey: ["review"],
  queryFn: async ({ pageParam }): Promise<ListPage<Entry>> => {
    const { reviews, next_cursor } = await listOf({ cursor: pageParam ?? undefined });
    return pageOf(reviews, next_cursor);
  },
  ...liveList<Entry>({
    compare: (one, other) =>
      one.updated_at.localeCompare(other.updated_at) ||
      one.session_id.localeCompare(other.session_id) ||
      one.item_id.localeCompare(other.item_id),
    sessionOf: (row) => row.session_id,
    read: async (session_id) => (await listOf({ session_id })).reviews,
  }),
});

export const itemsOf = (product_code: string) =>
  queryOptions({
    queryKey: ["masters", "items", product_code],
    queryFn: () =>
      read(api.GET("/api/v1/masters/products/{product_code}/items", { params: { path: { product_code } } })),
    staleTime: 60_000,
  });

export const conflictList = infiniteQueryOptions({
  queryKey: ["sync", "conflicts"],
  queryFn: ({ pageParam }) =>
    read(api.GET("/api/v1/sync/conflicts", { params: { query: { cursor: pageParam ?? undefined } } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next_cursor,
});
