import { infiniteQueryOptions } from "@tanstack/react-query";
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

export interface Wanted {
  status?: Schemas["SessionStatus"];
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
