/**
 * Which address shows which page.
 *
 * Rules of this file:
 * - The inspector's flow is one file, there at once; every other page is loaded when it is opened.
 * - Addresses come after a #: the agent serves one page, and a desktop shell needs no server for it.
 */
import LinearProgress from "@mui/material/LinearProgress";
import { createHashRouter } from "react-router";
import { Home } from "../flow/Home";
import { Item } from "../flow/Item";
import { Login } from "../flow/Login";
import { Scan } from "../flow/Scan";
import { Session } from "../flow/Session";
import { Layout } from "./Layout";
import { Lost } from "./Lost";

export const router = createHashRouter([
  { path: "/login", element: <Login /> },
  {
    element: <Layout />,
    errorElement: <Lost />,
    hydrateFallbackElement: <LinearProgress aria-label="…" />,
    children: [
      { path: "/", element: <Home /> },
      { path: "/scan", element: <Scan /> },
      { path: "/sessions/:sessionId", element: <Session /> },
      { path: "/sessions/:sessionId/items/:itemId", element: <Item /> },
      { path: "/history", lazy: async () => ({ Component: (await import("../history/History")).History }) },
      {
        path: "/sessions/:sessionId/trace",
        lazy: async () => ({ Component: (await import("../history/Trace")).Trace }),
      },
      { path: "/reviews", lazy: async () => ({ Component: (await import("../review/Reviews")).Reviews }) },
      { path: "/figures", lazy: async () => ({ Component: (await import("../figures/Figures")).Figures }) },
      { path: "/password", lazy: async () => ({ Component: (await import("./Password")).Password }) },
      { path: "/tech", lazy: async () => ({ Component: (await import("../tech/Sync")).Sync }) },
      { path: "/tech/health", lazy: async () => ({ Component: (await import("../tech/Health")).Health }) },
      { path: "/tech/models", lazy: async () => ({ Component: (await import("../tech/Models")).Models }) },
      {
        path: "/tech/equipment",
        lazy: async () => ({ Component: (await import("../tech/Equipment")).Equipment }),
      },
      { path: "/tech/users", lazy: async () => ({ Component: (await import("../tech/Users")).Users }) },
      { path: "/tech/audit", lazy: async () => ({ Component: (await import("../tech/Audit")).Audit }) },
      { path: "*", element: <Lost /> },
    ],
  },
]);
