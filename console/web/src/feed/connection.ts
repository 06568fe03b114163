// The stream from the server, opened again by itself whenever it breaks.

import { openStream, type FirstStream } from "./first-stream";
import type { Changes, Store } from "./store";

const FIRST_DELAY = 250, LONGEST_DELAY = 5000, SESSION_ENDED = 4401;

interface Message extends Changes {
  type: "snapshot" | "part" | "complete" | "changes" | "connection";
  problem?: string;
}

/** Keep the store up to date until the returned function is called.
 *
 * @param first a stream that has been opened already.
 */
export function connect(store: Store, sessionEnded: () => void, first: FirstStream | null): () => void {
  let delay = FIRST_DELAY, socket: WebSocket | null = null, timer = 0, closed = false;

  const read = (event: MessageEvent<string>): void => {
    delay = FIRST_DELAY;
    const message = JSON.parse(event.data) as Message;
    if (message.type === "connection") store.setProblem(message.problem ?? "");
    else if (message.type === "complete") store.endSnapshot();
    else {
      if (message.type === "snapshot") store.beginSnapshot();
      store.apply(message);
    }
  };
  const ended = (event: CloseEvent): void => {
    if (closed) return;
    if (event.code === SESSION_ENDED) return sessionEnded();
    store.setProblem("the console does not respond; trying again");
    timer = window.setTimeout(retry, delay);
    delay = Math.min(delay * 2, LONGEST_DELAY);
  };
  const open = (): void => {
    socket = openStream("/api/feed");
    socket.onmessage = read;
    socket.onclose = ended;
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
  if (first) socket = first.handOver(read, ended);
  else open();
  return () => {
    closed = true;
    clearTimeout(timer);
    socket?.close();
  };
}
