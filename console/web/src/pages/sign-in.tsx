import { useState } from "preact/hooks";
import { post, textOf } from "../api";
import { CommandLine } from "../parts/basics";
import type { Session } from "../session";

export function SignIn({ problem, done }: { problem: string; done: (session: Session) => void }) {
  const [token, setToken] = useState("");
  const [wrong, setWrong] = useState(problem);
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    try {
      done(await post<Session>("/api/session", { token: token.trim() }));
    } catch (error) {
      setWrong(textOf(error));
      setBusy(false);
    }
  };
  return (
    <main class="sign-in">
      <h1>Shoal</h1>
      <form onSubmit={submit}>
        <label>
          Token
          <input type="password" value={token} onInput={(event) => setToken(event.currentTarget.value)} autocomplete="off"
            spellcheck={false} autofocus required />
        </label>
        <button class="main" disabled={busy}>Sign in</button>
        {wrong && <p role="alert" class="problem">{wrong}</p>}
      </form>
      <p class="quiet">A token is printed by</p>
      <CommandLine line="shoal console token" />
    </main>
  );
}
