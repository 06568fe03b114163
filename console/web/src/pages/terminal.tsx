// A terminal in a task's container. Loaded when the first one is opened.

import { FitAddon } from "@xterm/addon-fit";
import { Terminal as Screen } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { openStream } from "../feed/first-stream";
import { useStore } from "../feed/use-store";
import { CommandLine, Text } from "../parts/basics";
import { adoptStyles } from "../parts/adopted-styles";
import { taskName } from "../parts/names";
import { shellWord } from "../text";

const LEAVE = "Tab and Escape go to the shell. Shift-Tab leaves the terminal backwards, Ctrl-Shift-L forwards.";
const isLeaving = ({ ctrlKey, shiftKey, altKey, metaKey, code }: KeyboardEvent): boolean => ctrlKey && shiftKey && !altKey && !metaKey && code === "KeyL";

type Message =
  | { type: "started"; task: string }
  | { type: "end"; code: number; error: string }
  | { type: "error"; error: string };

export default function Terminal({ id }: { id: string }) {
  const store = useStore("services");
  const task = store.tasks.get(id);
  const [run, setRun] = useState(0);
  const [state, setState] = useState("connecting");
  const place = useRef<HTMLDivElement>(null), after = useRef<HTMLDivElement>(null);
  const name = task ? taskName(store, task) : id;

  useEffect(() => {
    if (!place.current) return;
    const release = adoptStyles();
    const screen = new Screen({ screenReaderMode: true, scrollback: 5000 });
    const fit = new FitAddon();
    screen.loadAddon(fit);
    screen.open(place.current);
    fit.fit();
    screen.textarea?.setAttribute("aria-description", LEAVE);
    screen.attachCustomKeyEventHandler((event) => {
      if (!isLeaving(event)) return true;
      event.preventDefault();
      after.current?.focus();
      return false;
    });
    const socket = openStream(`/api/terminal?task=${encodeURIComponent(id)}&columns=${screen.cols}&rows=${screen.rows}`);
    socket.binaryType = "arraybuffer";
    const encoder = new TextEncoder();
    const send = (data: string | Uint8Array<ArrayBuffer>): void => {
      if (socket.readyState === WebSocket.OPEN) socket.send(data);
    };
    socket.onmessage = (event: MessageEvent<ArrayBuffer | string>) => {
      if (typeof event.data !== "string") return screen.write(new Uint8Array(event.data));
      const message = JSON.parse(event.data) as Message;
      if (message.type === "started") setState("");
      else if (message.type === "end") setState(message.error || `ended with exit code ${message.code}`);
      else setState(message.error);
    };
    socket.onclose = () => setState((before) => (before === "" || before === "connecting" ? "the connection has ended" : before));
    screen.onData((text) => send(encoder.encode(text)));
    screen.onBinary((text) => send(Uint8Array.from(text, (each) => each.charCodeAt(0))));
    screen.onResize(({ cols, rows }) => send(JSON.stringify({ type: "resize", columns: cols, rows })));
    const observer = new ResizeObserver(() => fit.fit());
    observer.observe(place.current);
    screen.focus();
    return () => {
      observer.disconnect();
      socket.onclose = null;
      socket.close();
      screen.dispose();
      release();
    };
  }, [id, run]);

  return (
    <>
      <h1>Terminal in <Text of={name} /></h1>
      {state && (
        <p role="status">
          <Text of={state} />{" "}
          {state !== "connecting" && <button type="button" onClick={() => (setState("connecting"), setRun(run + 1))}>Open again</button>}
        </p>
      )}
      <div class="terminal" ref={place} />
      <div ref={after} tabIndex={-1} role="group" aria-label="After the terminal">
        <p class="quiet">{LEAVE}</p>
        <CommandLine line={`shoal exec -it ${shellWord(id)} sh`} />
      </div>
    </>
  );
}
