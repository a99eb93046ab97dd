import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, read, type Schemas } from "../api/client";
import { type ListPage, liveList, pageOf } from "../api/lists";
import type { paths } from "../api/schema";

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
  /** Exactly a serial number, a lot or a code as scanned. */
  text?: string;
}
const PAGE = 100;

type Summary = Schemas["SessionSummary"];
type Query = NonNullable<paths["/api/v1/sessions"]["get"]["parameters"]["query"]>;

const listOf = (query: Query) => read(api.GET("/api/v1/sessions", { params: { query } }));

export const sessionList = (wanted: Wanted) =>
  infiniteQueryOptions({
    queryKey: ["history", wanted],
    queryFn: async ({ pageParam }): Promise<ListPage<Summary>> => {
      const { sessions, next_cursor } = await listOf({
        ...wanted,
        limit: PAGE,
        cursor: pageParam ?? undefined,
      });
      return pageOf(sessions, next_cursor);
    },
    ...liveList<Summary>({
      compare: (one, other) =>
        other.started_at.localeCompare(one.started_at) || other.id.localeCompare(one.id),
      sessionOf: (row) => row.id,
      read: async (session_id) => (await listOf({ ...wanted, session_id })).sessions,
    }),
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
