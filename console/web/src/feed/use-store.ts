import { useEffect, useReducer } from "preact/hooks";
import { store, type Store } from "./store";

/** The store; the component is rendered again, once a frame at most, when one of the topics changes. */
export function useStore(...topics: string[]): Store {
  const [, renderAgain] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    renderAgain(undefined as never); // what has changed between rendering and subscribing
    return store.subscribe(topics, () => renderAgain(undefined as never));
  }, [topics.join(" ")]);
  return store;
}
