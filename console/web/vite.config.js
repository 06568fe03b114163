// Builds the pages into console/built, which is committed: users' machines need no Node.
import { readFileSync } from "node:fs";

const CODEMIRROR = ["commands", "lang-yaml", "language", "lint", "search", "state", "view"].map((each) => `@codemirror/${each}`);
const SHIPPED = [
  "preact", "@xterm/xterm", "@xterm/addon-fit", ...CODEMIRROR, "@codemirror/autocomplete", "@lezer/common", "@lezer/highlight", "@lezer/lr",
  "@lezer/yaml", "@marijn/find-cluster-break", "crelt", "style-mod", "w3c-keyname",
];

/** The licences of what is in the built files, which ask to go with them. */
const licences = {
  name: "licences",
  generateBundle() {
    const text = (name) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}\n`;
    this.emitFile({ type: "asset", fileName: "licences.txt", source: SHIPPED.map(text).join("\n\n") });
  },
};

export default {
  plugins: [licences],
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
