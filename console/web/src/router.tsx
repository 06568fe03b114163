// Every page has an address; links are links, so that a middle click, "copy address" and "back" do what they should.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { keepPageNow, newEntry } from "./scrolling";
import { visible } from "./text";

const MOVED = "shoal-moved";
/** Where the focus goes with another page. */
export const CONTENT = "content";

let followed = false;

export function navigate(address: string, replace = false): void {
  const before = location.pathname;
  if (replace) history.replaceState(history.state, "", address);
  else {
    keepPageNow();
    history.pushState(newEntry(), "", address);
  }
  if (location.pathname !== before) {
    followed = true;
    if (!replace) scrollTo(0, 0);
  }
  window.dispatchEvent(new Event(MOVED));
}

/** Another page begins at its top, for the keyboard and for screen readers too: what was followed to it is often gone. */
export function useFocusOnPage(page: string): void {
  const first = useRef(true);
  useLayoutEffect(() => {
    const lost = document.activeElement === document.body;
    if (!first.current && (followed || lost)) document.getElementById(CONTENT)?.focus({ preventScroll: true });
    first.current = followed = false;
  }, [page]);
}

/** The parts of the path, decoded, and the query. */
export function useAddress(): { path: string[]; query: URLSearchParams } {
  const [, update] = useState(0);
  // With the page and not after it: whoever sees it may go on.
  useLayoutEffect(() => {
    const moved = (): void => update((count) => count + 1);
    window.addEventListener("popstate", moved);
    window.addEventListener(MOVED, moved);
    return () => {
      window.removeEventListener("popstate", moved);
      window.removeEventListener(MOVED, moved);
    };
  }, []);
  return { path: location.pathname.split("/").filter(Boolean).map(decode), query: new URLSearchParams(location.search) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Change the query of the address; a value of "" leaves it out. */
export function setQuery(values: Record<string, string>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) value ? query.set(name, value) : query.delete(name);
  navigate(location.pathname + (query.size ? `?${query}` : ""), true);
}

export function Link(props: {
  to: string; children: ComponentChildren; class?: string; current?: boolean; label?: string;
}) {
  const follow = (event: MouseEvent): void => {
    if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(props.to);
  };
  return (
    <a href={props.to} class={props.class} onClick={follow} aria-current={props.current ? "page" : undefined}
      aria-label={props.label && visible(props.label)}>
      {props.children}
    </a>
  );
}
