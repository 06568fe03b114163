// The command line of the change that was made last, at the foot of the page, to copy: changes by one click have no room for it.

import { useLayoutEffect, useState } from "preact/hooks";
import { CommandLine } from "./basics";

const EVENT = "shoal-command";

export function showCommand(line: string): void {
  window.dispatchEvent(new CustomEvent<string>(EVENT, { detail: line }));
}

export function LastCommand() {
  const [line, setLine] = useState("");
  useLayoutEffect(() => {
    const show = (event: Event): void => setLine((event as CustomEvent<string>).detail);
    window.addEventListener(EVENT, show);
    return () => window.removeEventListener(EVENT, show);
  }, []);
  if (!line) return null;
  return (
    <section class="last-command" aria-label="The same on the command line">
      <span class="quiet" role="status">Done. On the command line:</span>
      <CommandLine key={line} line={line} />
      <button type="button" aria-label="Close" onClick={() => setLine("")}>×</button>
    </section>
  );
}
