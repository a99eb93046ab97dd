import createCache from "@emotion/cache";
import { CacheProvider } from "@emotion/react";
import CssBaseline from "@mui/material/CssBaseline";
import { ThemeProvider } from "@mui/material/styles";
import { QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { RouterProvider } from "react-router/dom";
import { openClient } from "./shell/cache";
import { WithPreferences } from "./shell/preferences";
import { router } from "./shell/routes";
import { theme } from "./shell/theme";

// The policy admits no inline style but those with this page's nonce.
const nonce = document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce;
const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");

createRoot(root).render(
  <CacheProvider value={createCache({ key: "c", nonce })}>
    <ThemeProvider theme={theme}>
      <CssBaseline />
      <WithPreferences>
        <QueryClientProvider client={openClient()}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </WithPreferences>
    </ThemeProvider>
  </CacheProvider>,
);
