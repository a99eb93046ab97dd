import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, read, type Schemas } from "../api/client";

export const STATUSES = [
  "PENDING",
  "IN_PROGRESS",
  "AI_COMPLETED",
  "HUMAN_REVIEW",
  "COMPLETED",
  "FAILED",
  "CANCELLED",
] as const satisfies readonly Schemas["SessionStatus"][];

/** What the history is narrowed to; what is absent does not matter. */
export interface Wanted {
  status?: Schemas["SessionStatus"];
  product_id?: string;
  user_id?: number;
  /** Instants; `until` is not included. */
  since?: string;
  until?: string;
}
const PAGE = 100;

/** Not told by events what is new: that would read every page shown again. Opening the page reads afresh. */
export const sessionList = (wanted: Wanted) =>
  infiniteQueryOptions({
    queryKey: ["history", wanted],
    queryFn: ({ pageParam }) =>
      read(
        api.GET("/api/v1/sessions", {
          params: { query: { ...wanted, limit: PAGE, cursor: pageParam ?? undefined } },
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    structuralSharing: false, // comparing a hundred thousand rows with themselves
    gcTime: 0,
  });

export const trace = (id: string) =>
  queryOptions({
    queryKey: ["session", id, "trace"],
    queryFn: () =>
      read(api.GET("/api/v1/sessions/{session_id}/trace", { params: { path: { session_id: id } } })),
  });

export const products = queryOptions({
  queryKey: ["masters", "products"],
  queryFn: () => read(api.GET("/api/v1/masters/products")),
  staleTime: 60_000,
});

/** For administrators only: the agent tells nobody else who there is. */
export const users = queryOptions({
  queryKey: ["user"],
  queryFn: () => read(api.GET("/api/v1/users")),
});
