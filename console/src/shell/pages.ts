import type { Schemas } from "../api/client";
import type { Key } from "../i18n";

/** The pages that the bar at the top leads to; without roles everybody sees them. */
export const PAGES: readonly { path: string; word: Key; roles?: readonly Schemas["Role"][] }[] = [
  { path: "/", word: "home" },
  { path: "/scan", word: "scan" },
  { path: "/reviews", word: "review" },
  { path: "/history", word: "history" },
  { path: "/figures", word: "figures" },
  { path: "/tech", word: "tech", roles: ["supervisor", "technician", "admin"] },
];
