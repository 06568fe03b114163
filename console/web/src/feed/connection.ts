// The stream from the server, opened again by itself whenever it breaks.

import type { Changes, Store } from "./store";

const FIRST_DELAY = 250, LONGEST_DELAY = 5000, SESSION_ENDED = 4401;

interface Message extends Changes {
  type: "snapshot" | "part" | "complete" | "changes" | "connection";
  problem?: string;
}

/** Open a WebSocket of this console. */
export function openStream(path: string): WebSocket {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(`${scheme}//${location.host}${path}`);
}

/** Keep the store up to date until the returned function is called. */
export function connect(store: Store, sessionEnded: () => void): () => void {
  let delay = FIRST_DELAY, socket: WebSocket | null = null, timer = 0, closed = false;

  const open = (): void => {
    socket = openStream("/api/feed");
    socket.onmessage = (event: MessageEvent<string>) => {
      delay = FIRST_DELAY;
      const message = JSON.parse(event.data) as Message;
      if (message.type === "connection") store.setProblem(message.problem ?? "");
      else if (message.type === "complete") store.endSnapshot();
      else {
        if (message.type === "snapshot") store.beginSnapshot();
        store.apply(message);
      }
    };
    socket.onclose = (event) => {
      if (closed) return;
      if (event.code === SESSION_ENDED) return sessionEnded();
      store.setProblem("the console does not respond; trying again");
      timer = window.setTimeout(retry, delay);
      delay = Math.min(delay * 2, LONGEST_DELAY);
    };
  };
  // A refused handshake says nothing of why: a session that has ended is asked for.
  const retry = async (): Promise<void> => {
    try {
      const response = await fetch("/api/session");
      if (response.status === 401) return sessionEnded();
    } catch {
      // Not there: the next attempt says the same.
    }
    if (!closed) open();
  };
  open();
  return () => {
    closed = true;
    clearTimeout(timer);
    socket?.close();
  };
}
