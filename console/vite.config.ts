import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Relative addresses: the same build opens from the agent and from inside a desktop shell.
export default defineConfig({
  base: "./",
  plugins: [react()],
  html: { cspNonce: "__CSP_NONCE__" }, // the agent puts a fresh one into every page it serves
  build: {
    outDir: "../edge_agent/console",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000,
  },
});
