// Builds the pages into console/built, which is committed: users' machines need no Node.
export default {
  build: {
    outDir: "../built",
    emptyOutDir: true,
    target: "es2022",
    // light-dark() and its like are left to browsers.
    cssTarget: ["chrome123", "firefox121", "safari17.5"],
    // Small files stay files: the Content-Security-Policy lets no data: address be a script or a style.
    assetsInlineLimit: 0,
    // It would add code that makes requests of its own; browsers of es2022 need none.
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
};
