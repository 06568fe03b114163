import { render } from "preact";
import { useState } from "preact/hooks";
import { ApiError, get, post, textOf } from "./api";
import { App, applyTheme, type Session } from "./app";
import "./pages.css";
import { SignIn } from "./pages/sign-in";

const TOKEN = "#token=";

/** The session: by the token of the address, which leaves it at once, else the one that there is. */
async function begin(): Promise<{ session: Session | null; problem: string }> {
  try {
    if (location.hash.startsWith(TOKEN)) {
      const token = location.hash.slice(TOKEN.length);
      history.replaceState(null, "", location.pathname + location.search);
      return { session: await post<Session>("/api/session", { token }), problem: "" };
    }
    return { session: await get<Session>("/api/session"), problem: "" };
  } catch (error) {
    // An address that was used already, in a browser that has signed in: its session is still good.
    const session = await get<Session>("/api/session").catch(() => null);
    const unexpected = !(error instanceof ApiError) || error.status !== 401 || error.message !== "sign in first";
    return { session, problem: !session && unexpected ? textOf(error) : "" };
  }
}

function Root(props: { session: Session | null; problem: string }) {
  const [session, setSession] = useState(props.session);
  if (!session) return <SignIn problem={props.problem} done={setSession} />;
  return <App session={session} ended={() => setSession(null)} />;
}

applyTheme(localStorage.getItem("theme") ?? "system");
const root = document.getElementById("app");
if (root) begin().then((found) => render(<Root {...found} />, root));
