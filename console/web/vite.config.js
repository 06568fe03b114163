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

/** What the first script loads is asked for with it. */
const preload = {
  name: "preload",
  transformIndexHtml: {
    order: "post",
    handler: (_, { bundle }) =>
      Object.values(bundle)
        .filter((each) => each.type === "chunk" && each.name === "main")
        .map((each) => ({ tag: "link", attrs: { rel: "modulepreload", crossorigin: true, href: `/${each.fileName}` }, injectTo: "head" })),
  },
};

export default {
  plugins: [licences, preload],
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
    rolldownOptions: {
      output: {
        // Two scripts make the first page, each with all that it imports: the one that asks, and the one that draws.
        codeSplitting: {
          groups: [
            { name: "begin", test: /src\/begin\.ts$/, priority: 2 },
            { name: "main", test: /src\/main\.tsx$/, priority: 1 },
          ],
        },
      },
    },
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
};
