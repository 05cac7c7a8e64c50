import { defineConfig } from "vite";

// The entries are read by name from the manifest (`web_ui/bundle.py`). `theme` is loaded as a plain
// blocking script so that a page never flashes in the wrong theme: it must import nothing.
export default defineConfig({
  base: "/static/dist/",
  publicDir: "public",
  build: {
    outDir: "../static/dist",
    emptyOutDir: true,
    manifest: "manifest.json",
    target: "es2022",
    // A data: URL inside a script would need more of the content security policy.
    assetsInlineLimit: 0,
    modulePreload: false,
    reportCompressedSize: true,
    chunkSizeWarningLimit: 1800,
    rolldownOptions: {
      // htmx names eval and never calls it: the pages say allowEval=false, and so does the policy.
      checks: { eval: false, pluginTimings: false },
      input: {
        main: "src/main.ts",
        theme: "src/theme.ts",
        console: "src/console.ts",
        viewer: "src/viewer/main.ts",
        report: "src/report.scss",
        offline: "src/offline/page.ts",
        "service-worker": "src/offline/service-worker.ts",
      },
    },
  },
  css: {
    preprocessorOptions: {
      scss: {
        quietDeps: true,
        // Bootstrap 5.3 is written with @import and will stay so.
        silenceDeprecations: ["import", "global-builtin", "color-functions", "if-function"],
      },
    },
  },
});
