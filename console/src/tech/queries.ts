import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, read } from "../api/client";

const JOB_MS = 1000;
const LOOK_MS = 60_000; // events tell; what grows by itself (disk, ages in findings) is read again this often

export const deadList = queryOptions({
  queryKey: ["sync", "dead"],
  queryFn: () => read(api.GET("/api/v1/sync/dead")),
});

export const queue = infiniteQueryOptions({
  queryKey: ["sync", "queue"],
  queryFn: ({ pageParam }) =>
    read(api.GET("/api/v1/sync/queue", { params: { query: { after_id: pageParam } } })),
  initialPageParam: 0,
  getNextPageParam: (page) => page.next_after_id,
});

/** Asked for again until it has ended. */
export const job = (id: string) =>
  queryOptions({
    queryKey: ["job", id],
    queryFn: () => read(api.GET("/api/v1/sync/jobs/{job_id}", { params: { path: { job_id: id } } })),
    refetchInterval: ({ state }) => (!state.data || state.data.phase === "running" ? JOB_MS : false),
  });

export const findings = queryOptions({
  queryKey: ["health", "findings"],
  queryFn: () => read(api.GET("/api/v1/system/findings")),
  refetchInterval: LOOK_MS,
});

export const disk = queryOptions({
  queryKey: ["health", "disk"],
  queryFn: () => read(api.GET("/api/v1/system/disk")),
  refetchInterval: LOOK_MS,
});

export const models = queryOptions({
  queryKey: ["masters", "models"],
  queryFn: () => read(api.GET("/api/v1/models")),
});

export const pipelines = queryOptions({
  queryKey: ["masters", "pipelines"],
  queryFn: () => read(api.GET("/api/v1/pipelines")),
});

export const folders = queryOptions({
  queryKey: ["folder", "list"],
  queryFn: () => read(api.GET("/api/v1/folders")),
  refetchInterval: LOOK_MS,
});

export const quarantine = queryOptions({
  queryKey: ["folder", "quarantine"],
  queryFn: () => read(api.GET("/api/v1/folders/quarantine")),
  refetchInterval: LOOK_MS,
});

export const auditLog = infiniteQueryOptions({
  queryKey: ["audit"],
  queryFn: ({ pageParam }) =>
    read(api.GET("/api/v1/audit", { params: { query: { before_seq: pageParam ?? undefined } } })),
  initialPageParam: null as number | null,
  getNextPageParam: (page) => page.next_before_seq,
});
