// Colours and fonts of the theme in force, as the browser has worked them out, for canvases.

import { LOOKS, type Look } from "../feed/rows";

const NAMES = ["back", "card", "line", "track", "text", "quiet", "accent", "bad", "warn"] as const;

export interface Palette extends Record<(typeof NAMES)[number], string> {
  looks: Record<Look, string>;
  family: string;
}

let known: Palette | null = null;
const listeners = new Set<() => void>();

export function palette(): Palette {
  if (known) return known;
  const probe = document.createElement("span");
  document.body.append(probe);
  const looks = {} as Record<Look, string>;
  for (const look of LOOKS) {
    probe.className = `look-${look}`;
    looks[look] = getComputedStyle(probe).backgroundColor;
  }
  const found = { looks, family: getComputedStyle(probe).fontFamily } as Palette;
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return (known = found);
}

/** What has been painted is to be painted again with the colours that are in force now. */
export function themeChanged(): void {
  known = null;
  for (const each of listeners) each();
}

export function onThemeChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);
