// An editor of YAML with errors at their lines. Loaded when the first one is opened.
//
// It is in a shadow root: there its library puts its styles into constructed sheets, which the Content-Security-Policy admits,
// and the page's variables of colours are inherited.

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, Prec, type Text as Lines } from "@codemirror/state";
import {
  EditorView, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers, placeholder,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "preact/hooks";
import { visible } from "../text";

export interface LineFault {
  line: number;
  column: number;
  path: string;
  message: string;
}

export interface EditorProps {
  label: string;
  hint: string;
  changed: (text: string) => void;
  /** A text to begin with, or to put in place of what is there: another object is another wish. */
  replace: { text: string } | null;
  faults: readonly LineFault[];
  /** Where the cursor is to go: another object is another wish. */
  goTo: { line: number; column: number } | null;
}

const LEAVE_MS = 3000;

const COLOURS = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "light-dark(#8a4b08, #f0b775)" },
  { tag: tags.comment, color: "var(--quiet)", fontStyle: "italic" },
  { tag: [tags.keyword, tags.labelName, tags.typeName, tags.meta], color: "light-dark(#7a3e9d, #c9a5f0)" },
]);

const LOOKS = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--card)", fontSize: "0.9rem", borderRadius: "8px", overflow: "hidden" },
  "&.cm-focused": { outline: "3px solid var(--accent)", outlineOffset: "2px" },
  ".cm-scroller": { fontFamily: "ui-monospace, monospace", lineHeight: "1.5", minHeight: "20rem", maxHeight: "60vh", overflow: "auto" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-content, .cm-gutter": { minHeight: "20rem" },
  ".cm-gutters": { backgroundColor: "var(--back)", color: "var(--quiet)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--hover)" },
  ".cm-placeholder": { color: "var(--quiet)" },
  ".cm-selectionMatch, .cm-searchMatch": { backgroundColor: "light-dark(#ffe9a8, #5a4a16)" },
  ".cm-searchMatch-selected": { backgroundColor: "light-dark(#ffc94d, #8a6d12)" },
  ".cm-panels": { backgroundColor: "var(--back)", color: "var(--text)" },
  ".cm-panels input, .cm-panels button": { font: "inherit", color: "inherit", background: "var(--card)", border: "1px solid var(--line)", borderRadius: "6px" },
  ".cm-button": { backgroundImage: "none" },
  ".cm-tooltip": { backgroundColor: "var(--card)", color: "var(--text)", border: "1px solid var(--line)", borderRadius: "6px" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad)" },
  ".cm-specialChar": { color: "var(--bad)" },
});

export default function YamlEditor(props: EditorProps) {
  const place = useRef<HTMLDivElement>(null), editor = useRef<EditorView | null>(null), newest = useRef(props);
  newest.current = props;
  useEffect(() => {
    if (!place.current) return;
    const root = place.current.shadowRoot ?? place.current.attachShadow({ mode: "open" });
    const view = new EditorView({ parent: root, root, state: EditorState.create({ extensions: extensions(() => newest.current) }) });
    editor.current = view;
    return () => view.destroy();
  }, []);
  useEffect(() => {
    const view = editor.current;
    if (view && props.replace) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: props.replace.text } });
  }, [props.replace]);
  useEffect(() => {
    const view = editor.current;
    if (view) view.dispatch(setDiagnostics(view.state, props.faults.filter((each) => each.line > 0).map((each) => diagnosticOf(each, view.state.doc))));
  }, [props.faults]);
  useEffect(() => {
    const view = editor.current;
    if (!view || !props.goTo) return;
    const position = positionOf(props.goTo, view.state.doc);
    view.dispatch({ selection: { anchor: position }, effects: EditorView.scrollIntoView(position, { y: "center" }) });
    view.focus();
  }, [props.goTo]);
  return <div class="yaml" ref={place} />;
}

const extensions = (props: () => EditorProps) => [
  lineNumbers(), lintGutter(), highlightSpecialChars(), history(), bracketMatching(), indentOnInput(), highlightActiveLine(),
  highlightActiveLineGutter(), highlightSelectionMatches(), search({ top: true }), yaml(), indentUnit.of("  "),
  syntaxHighlighting(COLOURS), LOOKS, placeholder("Paste or drop a Compose file"),
  Prec.highest(keymap.of([{ key: "Escape", run: (view) => (view.setTabFocusMode(LEAVE_MS), false) }])),
  keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, ...lintKeymap, indentWithTab]),
  EditorView.contentAttributes.of({ "aria-label": props().label, "aria-description": props().hint }),
  EditorView.updateListener.of((update) => {
    if (update.docChanged) props().changed(update.state.doc.toString());
  }),
  EditorView.domEventHandlers({
    // A browser that replaces coloured text keeps its colours by attributes of style, which the policy refuses.
    beforeinput(event, view) {
      const replaced = event.inputType === "insertText" && event.data !== null && !view.composing ? selectedIn(view) : null;
      if (!replaced) return false;
      event.preventDefault();
      const insert = view.state.toText(event.data ?? "");
      view.dispatch({ changes: { ...replaced, insert }, selection: { anchor: replaced.from + insert.length }, userEvent: "input.type", scrollIntoView: true });
      return true;
    },
    drop(event, view) {
      const file = event.dataTransfer?.files[0];
      if (!file) return false;
      event.preventDefault();
      void file.text().then((text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }));
      return true;
    },
  }),
];

/** What the browser has selected, which the editor may not know yet; null: nothing. */
function selectedIn(view: EditorView): { from: number; to: number } | null {
  const root = view.root as { getSelection?: () => Selection | null }, found = root.getSelection?.() ?? document.getSelection();
  if (!found?.anchorNode || !found.focusNode || found.isCollapsed || !view.contentDOM.contains(found.anchorNode)) return null;
  const ends = [view.posAtDOM(found.anchorNode, found.anchorOffset), view.posAtDOM(found.focusNode, found.focusOffset)];
  return { from: Math.min(...ends), to: Math.max(...ends) };
}

function positionOf({ line, column }: { line: number; column: number }, doc: Lines): number {
  const found = doc.line(Math.min(Math.max(1, line), doc.lines));
  return Math.min(found.from + Math.max(0, column - 1), found.to);
}

function diagnosticOf(fault: LineFault, doc: Lines): Diagnostic {
  const from = positionOf(fault, doc), to = doc.lineAt(from).to;
  return { from, to, severity: "error", message: visible(fault.path ? `${fault.path}: ${fault.message}` : fault.message) };
}
