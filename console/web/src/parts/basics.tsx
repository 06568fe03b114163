import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Look, Task } from "../feed/rows";
import { lookOf, stateText } from "../feed/rows";
import { textOf } from "../api";
import { visible } from "../text";
import { showCommand } from "./last-command";

/** A text that anybody may have written. */
export const Text = ({ of }: { of: string }) => <bdi>{visible(of)}</bdi>;

export const Dot = ({ look }: { look: Look }) => <span class={`dot look-${look}`} aria-hidden="true" />;

export const TaskState = ({ task }: { task: Task }) => (
  <span class="state"><Dot look={lookOf(task)} />{stateText(task)}</span>
);

/** A bar of what is reserved of what there is. */
export function Meter(props: { label: string; name?: string; used: number; total: number; text: string }) {
  const { label, name, used, total, text } = props;
  return (
    <div class="meter">
      {label && <span>{label}</span>}
      <meter min={0} max={total || 1} value={used} low={total * 0.8} high={total * 0.95} optimum={0} aria-label={name ?? label}>
        {text}
      </meter>
      <span class="quiet">{text}</span>
    </div>
  );
}

/** The command line that does the same, to copy. */
export function CommandLine({ line }: { line: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(line);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <div class="command">
      <code>{visible(line)}</code>
      <button type="button" onClick={copy}>{copied ? "Copied" : "Copy"}</button>
    </div>
  );
}

/** A button that does something, says that it does, and what went wrong. */
export function Action(props: {
  do: () => Promise<unknown>; children: ComponentChildren; class?: string; disabled?: boolean; label?: string;
  /** The command line that does the same, which is shown when it is done. */
  line?: string;
}) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const run = async (): Promise<void> => {
    setBusy(true);
    setProblem("");
    try {
      await props.do();
      if (props.line) showCommand(props.line);
    } catch (error) {
      setProblem(textOf(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <span class="action">
      <button type="button" class={props.class} disabled={busy || props.disabled} onClick={run} title={props.line && visible(props.line)} aria-label={props.label && visible(props.label)}>{props.children}</button>
      {problem && <span role="alert" class="problem"><Text of={problem} /></span>}
    </span>
  );
}

/** A modal dialog of the browser's own: it keeps the focus and ends with Escape. What had the focus gets it back. */
export function useModal(): RefObject<HTMLDialogElement | null> {
  const element = useRef<HTMLDialogElement>(null), before = useRef<Element>(null);
  // With the dialog and not after it: what is typed meanwhile is for it.
  useLayoutEffect(() => {
    before.current = document.activeElement;
    element.current?.showModal();
  }, []);
  // One that leaves the document without being closed leaves the focus nowhere. As long as it is there, nothing else takes it.
  useEffect(() => () => before.current instanceof HTMLElement && before.current.focus(), []);
  return element;
}

export function Dialog(props: { title: string; close: () => void; children: ComponentChildren }) {
  const element = useModal();
  return (
    <dialog ref={element} onClose={props.close} aria-label={visible(props.title)}>
      <h2>{visible(props.title)}</h2>
      {props.children}
    </dialog>
  );
}

/** Asks for the name of what is to go. */
export function ConfirmByName(props: {
  title: string; name: string; consequence: string; line: string; do: () => Promise<unknown>; close: () => void;
}) {
  const [typed, setTyped] = useState("");
  const act = async (): Promise<void> => {
    await props.do();
    props.close();
  };
  return (
    <Dialog title={props.title} close={props.close}>
      <p>{props.consequence}</p>
      <label>
        Type <strong><Text of={props.name} /></strong> to go on
        <input value={typed} onInput={(event) => setTyped(event.currentTarget.value)} autocomplete="off" spellcheck={false} />
      </label>
      <CommandLine line={props.line} />
      <div class="buttons">
        <Action class="dangerous" do={act} disabled={typed !== props.name}>{props.title}</Action>
        <button type="button" onClick={props.close}>Cancel</button>
      </div>
    </Dialog>
  );
}
