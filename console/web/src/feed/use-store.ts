// Components that follow the store.

import { useLayoutEffect, useReducer } from "preact/hooks";
import { store, type Store } from "./store";

/** A change shows at once, those that follow it at most so often: eyes see no more, and lists of thousands cost. */
const PAUSE_MS = 100;

/** The store; the component is rendered again when one of the topics changes. */
export function useStore(...topics: string[]): Store {
  const [, renderAgain] = useReducer((count: number) => count + 1, 0);
  // Before anything else can change the store, so that nothing is missed and nothing is rendered twice.
  useLayoutEffect(() => {
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
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [topics.join(" ")]);
  return store;
}
