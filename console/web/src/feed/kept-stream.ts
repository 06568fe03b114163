// A page's own stream of the console, opened again by itself when it breaks, as the cluster's is.

import { openStream } from "./first-stream";

const FIRST_DELAY = 500, LONGEST_DELAY = 5000, WHOLE = 1000;

interface Failure {
  type: "error";
  error: string;
}

/** What a page does with a stream. */
export interface Follower<Message> {
  /** The first message of a stream that was opened again comes now. */
  begin?: () => void;
  message: (message: Message) => void;
  /** Why nothing comes; "": it comes again. */
  problem: (text: string) => void;
}

/** Follow the stream until the returned function is called; one that ends whole is not opened again.
 *
 * @param path is asked for with each opening.
 */
export function keepStream<Message extends { type: string }>(path: () => string, follower: Follower<Message>): () => void {
  let socket: WebSocket | null = null, timer = 0, delay = FIRST_DELAY, opened = 0;
  const open = (): void => {
    let failed = false, begun = false;
    opened++;
    socket = openStream(path());
    socket.onmessage = (event: MessageEvent<string>) => {
      const message = JSON.parse(event.data) as Message | Failure;
      if (message.type === "error") {
        failed = true;
        return follower.problem((message as Failure).error);
      }
      if (!begun && opened > 1) {
        follower.problem("");
        follower.begin?.();
      }
      begun = true;
      delay = FIRST_DELAY;
      follower.message(message as Message);
    };
    socket.onclose = (event) => {
      if (!failed && event.code === WHOLE) return;
      if (!failed) follower.problem("the console does not respond; trying again");
      timer = window.setTimeout(open, delay);
      delay = Math.min(delay * 2, LONGEST_DELAY);
    };
  };
  open();
  return () => {
    clearTimeout(timer);
    if (socket) socket.onclose = socket.onmessage = null;
    socket?.close();
  };
}
