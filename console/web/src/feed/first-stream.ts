// A stream that is opened before the code that reads it is there.

const COMPLETE = '{"type":"complete"}';

/** Open a WebSocket of this console. */
export function openStream(path: string): WebSocket {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(`${scheme}//${location.host}${path}`);
}

export class FirstStream {
  private readonly socket: WebSocket;
  private readonly waiting: MessageEvent<string>[] = [];
  private closed: CloseEvent | null = null;
  private readonly whole: Promise<void>;

  constructor(path: string) {
    this.socket = openStream(path);
    this.whole = new Promise((done) => {
      this.socket.onmessage = (event: MessageEvent<string>) => {
        this.waiting.push(event);
        if (event.data === COMPLETE) done();
      };
      this.socket.onclose = (event) => {
        this.closed = event;
        done();
      };
    });
  }

  /** The snapshot is there whole, or so much time has passed. */
  wholeWithin(milliseconds: number): Promise<void> {
    return Promise.race([this.whole, new Promise<void>((done) => setTimeout(done, milliseconds))]);
  }

  /** The socket, once; these get what has come so far at once, and then what comes. */
  handOver(message: (event: MessageEvent<string>) => void, close: (event: CloseEvent) => void): WebSocket {
    for (const event of this.waiting.splice(0)) message(event);
    this.socket.onmessage = message;
    this.socket.onclose = close;
    const { closed } = this;
    if (closed) queueMicrotask(() => close(closed));
    return this.socket;
  }
}
