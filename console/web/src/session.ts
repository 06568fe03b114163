// Who is signed in.

import { ApiError, get, post, textOf } from "./api";

export interface Session {
  user: string;
  role: string;
  until: number;
  context: string;
  cluster: string;
  version: string;
}

/** @property problem why nobody is signed in, where somebody tried; "" else. */
export interface Begun {
  session: Session | null;
  problem: string;
}

const TOKEN = "#token=";

/** The session: by the token of the address, which leaves it at once, else the one that there is. */
export async function beginSession(): Promise<Begun> {
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
