// Where pages and lists were scrolled to, so that "back" leads to the place that was left. The browser's own memory is of no
// use for what is drawn after it has been asked.

const FRAMES = 60;

/** By entry of the history and place. */
const positions = new Map<string, number>();
let entries = 0, restoring = 0;

/** The state of another entry of the history: a name of its own, also after the page was loaded again. */
export const newEntry = (): object => ({ entry: performance.timeOrigin + ++entries });

const keyOf = (place: string): string => `${(history.state as { entry?: number } | null)?.entry ?? 0} ${place}`;

/** Remember the position of a list on the page of now. */
export const keepPosition = (place: string, top: number): unknown => positions.set(keyOf(place), top);
export const keptPosition = (place: string): number => positions.get(keyOf(place)) ?? 0;

/** Remember where the page itself is; the browser tells of a scroll only with the next frame. */
export function keepPageNow(): void {
  if (!restoring) keepPosition("", scrollY);
}

/** Follow the page itself, from the beginning on. */
export function keepPagePosition(): void {
  addEventListener("scroll", keepPageNow, { passive: true });
  addEventListener("popstate", () => restore(keptPosition(""), FRAMES));
  for (const name of ["wheel", "touchstart", "keydown"]) addEventListener(name, stop, { passive: true });
}

function stop(): void {
  cancelAnimationFrame(restoring);
  restoring = 0;
}

/** Scroll as soon as the page is so high, unless somebody scrolls it meanwhile. */
function restore(top: number, frames: number): void {
  stop();
  if (!top || !frames) return;
  restoring = requestAnimationFrame(() => {
    scrollTo(0, top);
    if (Math.abs(scrollY - top) < 2) restoring = 0;
    else restore(top, frames - 1);
  });
}
