import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, read } from "../api/client";

export const reviewList = infiniteQueryOptions({
  queryKey: ["review"],
  queryFn: ({ pageParam }) =>
    read(api.GET("/api/v1/reviews", { params: { query: { cursor: pageParam ?? undefined } } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next_cursor,
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
