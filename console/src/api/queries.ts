/**
 * What the console reads from the agent, each under a key that says what makes it stale.
 *
 * Rules of this file:
 * - The first word of a key is the noun that events name (stale.ts).
 */
import { queryOptions } from "@tanstack/react-query";
import { api, fetchPicture, pictureUrl, read } from "./client";
import { Problem } from "./problems";

const OPEN = ["HUMAN_REVIEW", "AI_COMPLETED", "IN_PROGRESS", "PENDING"] as const;
const SHOWN_OPEN = 10;

export const me = queryOptions({
  queryKey: ["me"],
  queryFn: () => read(api.GET("/api/v1/auth/me")),
  staleTime: Number.POSITIVE_INFINITY,
});

export const info = queryOptions({
  queryKey: ["info"],
  queryFn: () => read(api.GET("/api/v1/system/info")),
  staleTime: 60_000,
  refetchInterval: 60_000, // a screen left open sees the next day begin
});

export const syncStatus = queryOptions({
  queryKey: ["sync", "status"],
  queryFn: () => read(api.GET("/api/v1/sync/status")),
  refetchInterval: 30_000,
});

export const openSessions = queryOptions({
  queryKey: ["session", "open"],
  queryFn: async () => {
    const pages = await Promise.all(
      OPEN.map((status) =>
        read(api.GET("/api/v1/sessions", { params: { query: { status, limit: SHOWN_OPEN } } })),
      ),
    );
    const found = pages.flatMap((page) => page.sessions);
    return found.sort((a, b) => b.started_at.localeCompare(a.started_at)).slice(0, SHOWN_OPEN);
  },
});

export const yieldOf = (day: string) =>
  queryOptions({
    queryKey: ["session", "yield", day],
    queryFn: () =>
      read(
        api.GET("/api/v1/statistics/yield", {
          params: { query: { since_day: day, until_day: day } },
        }),
      ),
  });

export const session = (id: string) =>
  queryOptions({
    queryKey: ["session", id],
    queryFn: () => read(api.GET("/api/v1/sessions/{session_id}", { params: { path: { session_id: id } } })),
  });

export const image = (id: string) =>
  queryOptions({
    queryKey: ["image", id],
    queryFn: () => read(api.GET("/api/v1/images/{image_id}", { params: { path: { image_id: id } } })),
  });

export const cameras = queryOptions({
  queryKey: ["camera"],
  queryFn: () => read(api.GET("/api/v1/cameras")),
});

export const reasons = queryOptions({
  queryKey: ["settings", "reasons"],
  queryFn: () => read(api.GET("/api/v1/settings/reasons")),
  staleTime: 300_000,
});

const DRAWING_MS = 300;
const DRAWING_TRIES = 20;

/** A picture drawn by the AI as an object URL; drawn after the verdict, so asked for until it is there. */
export const drawn = (imageId: string, kind: "overlay" | "heatmap") =>
  queryOptions({
    queryKey: ["drawn", imageId, kind],
    queryFn: () => fetchPicture(pictureUrl(imageId, kind)),
    retry: (failures, error) =>
      error instanceof Problem && error.code === "not-drawn-yet" && failures < DRAWING_TRIES,
    retryDelay: DRAWING_MS,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
