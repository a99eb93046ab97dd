import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, read } from "../api/client";

export const PERIODS = ["hour", "day", "week", "month"] as const;
export type Period = (typeof PERIODS)[number];

/** What the figures are about; days are included, what is absent does not matter. */
export interface About {
  since_day: string;
  until_day: string;
  product_id?: string;
}

export const yields = (about: About, group_by: Period) =>
  queryOptions({
    queryKey: ["session", "yields", about, group_by],
    queryFn: () => read(api.GET("/api/v1/statistics/yield", { params: { query: { ...about, group_by } } })),
    placeholderData: keepPreviousData,
  });

export const agreement = (about: About, group_by: Period) =>
  queryOptions({
    queryKey: ["session", "agreement", about, group_by],
    queryFn: () =>
      read(api.GET("/api/v1/statistics/agreement", { params: { query: { ...about, group_by } } })),
    placeholderData: keepPreviousData,
  });

export const reasonCounts = (about: About) =>
  queryOptions({
    queryKey: ["session", "reasons", about],
    queryFn: () => read(api.GET("/api/v1/statistics/reasons", { params: { query: { ...about } } })),
    placeholderData: keepPreviousData,
  });
