// How long ago something was, which goes on while nothing else on the page changes.

import { useEffect, useReducer } from "preact/hooks";
import { ageText } from "../text";

const EVERY_MS = 1000;
const ages = new Set<() => void>();
let timer = 0;

function follow(again: () => void): () => void {
  ages.add(again);
  timer ||= window.setInterval(() => document.hidden || ages.forEach((each) => each()), EVERY_MS);
  return () => {
    ages.delete(again);
    if (!ages.size) clearInterval(timer), (timer = 0);
  };
}

/** "5 min", of milliseconds; nothing of 0. */
export function Age({ since }: { since: number }) {
  const [, again] = useReducer((count: number) => count + 1, 0);
  useEffect(() => follow(() => again(undefined as never)), []);
  return <>{ageText(since)}</>;
}
