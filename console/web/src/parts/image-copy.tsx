// A pull or a push of an image, layer by layer, until it ends or is cancelled.

import { useEffect, useState } from "preact/hooks";
import { openStream } from "../feed/first-stream";
import { memoryText } from "../text";
import { Text } from "./basics";

export interface ImageCopy {
  verb: "pull" | "push";
  name: string;
  platform?: string;
  username?: string;
  password?: string;
}

interface Layer {
  digest: string;
  state: "waiting" | "compressing" | "transferring" | "exists" | "done";
  done: number;
  total: number;
}

export interface Copied {
  name: string;
  digest: string;
}

type Message =
  | { type: "layers"; layers: [string, Layer["state"], number, number][] }
  | ({ type: "end" } & Copied)
  | { type: "error"; error: string };

const STATES: Record<Layer["state"], string> = {
  waiting: "waiting", compressing: "compressing", transferring: "", exists: "there already", done: "done",
};

/** Copies it from the beginning of its life on. */
export function ImageCopyProgress({ copy, done, close }: { copy: ImageCopy; done: (copied: Copied) => void; close: () => void }) {
  const [layers, setLayers] = useState<ReadonlyMap<string, Layer>>(new Map());
  const [problem, setProblem] = useState(""), [ended, setEnded] = useState(false);
  useEffect(() => {
    const socket = openStream(`/api/images/${copy.verb}`);
    socket.onopen = () => {
      const { name, platform = "", username = "", password = "" } = copy;
      socket.send(JSON.stringify({ name, platform, username, password }));
    };
    socket.onmessage = (event: MessageEvent<string>) => {
      const message = JSON.parse(event.data) as Message;
      if (message.type === "layers") {
        setLayers((before) => new Map([...before, ...message.layers.map(([digest, state, bytes, total]): [string, Layer] => [digest, { digest, state, done: bytes, total }])]));
      } else {
        setEnded(true);
        if (message.type === "error") setProblem(message.error);
        else done({ name: message.name, digest: message.digest });
      }
    };
    socket.onclose = () => setEnded((before) => (before || setProblem("the connection has ended; a new one goes on where this one stopped"), true));
    return () => {
      socket.onclose = socket.onmessage = null;
      socket.close();
    };
  }, [copy]);
  const all = [...layers.values()], complete = all.filter((each) => each.state === "done" || each.state === "exists").length;
  return (
    <section class="copy" aria-label={copy.verb === "pull" ? "Pull" : "Push"}>
      <p role="status">
        {copy.verb === "pull" ? "Pulling" : "Pushing"} <strong><Text of={copy.name} /></strong>
        {all.length > 0 && `: ${complete} of ${all.length} layers`}
      </p>
      <ul aria-label="Layers">
        {all.map((each) => (
          <li key={each.digest}>
            <code>{each.digest.replace("sha256:", "").slice(0, 12)}</code>
            <progress max={each.total || 1} value={each.state === "done" || each.state === "exists" ? each.total || 1 : each.done} aria-label={`Layer ${each.digest.slice(7, 19)}`} />
            <span class="quiet">{STATES[each.state] || `${memoryText(each.done)} of ${memoryText(each.total)}`}</span>
          </li>
        ))}
      </ul>
      {problem && <p role="alert" class="problem"><Text of={problem} /></p>}
      <button type="button" onClick={close}>{ended ? "Close" : "Cancel"}</button>
      {!ended && <small class="quiet"> What has been copied stays: another try goes on from there.</small>}
    </section>
  );
}
