// Components that follow the store.

import { useEffect, useReducer } from "preact/hooks";
import { store, type Store } from "./store";

/** A change shows at once, those that follow it at most so often: eyes see no more, and lists of thousands cost. */
const PAUSE_MS = 100;

/** The store; the component is rendered again when one of the topics changes. */
export function useStore(...topics: string[]): Store {
  const [, renderAgain] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    let last = 0, timer = 0;
    const render = (): void => {
      timer = 0;
      last = performance.now();
      renderAgain(undefined as never);
    };
    const stop = store.subscribe(topics, () => {
      const wait = last + PAUSE_MS - performance.now();
      if (wait <= 0) render();
      else if (!timer) timer = window.setTimeout(render, wait);
    });
    renderAgain(undefined as never); // what has changed between rendering and subscribing
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [topics.join(" ")]);
  return store;
}
