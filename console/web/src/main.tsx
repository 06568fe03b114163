import { render } from "preact";
import { App } from "./app";
import { connect } from "./feed/connection";
import type { FirstStream } from "./feed/first-stream";
import { store } from "./feed/store";
import { SignIn } from "./pages/sign-in";
import { palette } from "./picture/palette";
import { keepPagePosition } from "./scrolling";
import type { Begun, Session } from "./session";

/** A small cluster is there by then, and is drawn once. */
const SNAPSHOT_MS = 40;

const root = document.getElementById("app")!;

/** Draw the pages.
 *
 * @param begun the stream is that of the session, and has been opened already.
 */
export async function start({ session, problem, stream }: Begun & { stream: FirstStream | null }): Promise<void> {
  keepPagePosition();
  palette(); // the browser works out styles for it, which is quick while the document is empty
  await stream?.wholeWithin(SNAPSHOT_MS);
  if (session) showPages(session, stream);
  else showSignIn(problem);
}

function showSignIn(problem: string): void {
  render(<SignIn problem={problem} done={(session) => showPages(session, null)} />, root);
}

/** What has come by the stream so far is in the first picture. */
function showPages(session: Session, stream: FirstStream | null): void {
  const leave = (why: string): void => {
    disconnect();
    showSignIn(why);
  };
  const disconnect = connect(store, () => leave("The session has ended: sign in again."), stream);
  render(<App session={session} ended={() => leave("")} />, root);
}
