// The tasks of a node as cells of one small canvas: a thousand nodes are a thousand pictures of some kilobytes, and a change
// paints one of them. What the picture says is in the label of the box around it.

import { useEffect, useRef } from "preact/hooks";
import { isLive, lookOf, LOOKS, type Look, type Task } from "../feed/rows";
import { navigate } from "../router";
import { store, type Group } from "../feed/store";
import { visible } from "../text";
import { taskName } from "./names";

const GAP = 2;
let colours: Record<Look, string> | null = null;

/** The colours of the theme in force, as the browser has worked them out. */
function lookColours(): Record<Look, string> {
  if (colours) return colours;
  const probe = document.createElement("span");
  document.body.append(probe);
  const found = {} as Record<Look, string>;
  for (const look of LOOKS) {
    probe.className = `look-${look}`;
    found[look] = getComputedStyle(probe).backgroundColor;
  }
  probe.remove();
  return (colours = found);
}

let themeNumber = 0;

/** Pictures are painted again with the colours of the theme that is in force now. */
export function themeChanged(): void {
  colours = null;
  themeNumber++;
  store.notify("theme");
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);

/** Live tasks in an order that stays: by service and slot. */
export function shownTasks(group: Group): Task[] {
  return [...group.tasks.values()]
    .filter(isLive)
    .sort((a, b) => (a.service < b.service ? -1 : a.service > b.service ? 1 : a.slot - b.slot || (a.id < b.id ? -1 : 1)));
}

const sizeFor = (tasks: number): number => (tasks <= 60 ? 12 : tasks <= 200 ? 9 : 6);

export function Cells({ tasks, width, version }: { tasks: Task[]; width: number; version: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = sizeFor(tasks.length), pitch = size + GAP;
  const columns = Math.max(1, Math.floor((width + GAP) / pitch));
  const height = Math.max(1, Math.ceil(tasks.length / columns)) * pitch - GAP;
  useEffect(() => {
    const element = canvas.current, context = element?.getContext("2d");
    if (!element || !context) return;
    const scale = devicePixelRatio || 1;
    element.width = Math.round(width * scale);
    element.height = Math.round(height * scale);
    context.scale(scale, scale);
    const palette = lookColours();
    tasks.forEach((task, at) => {
      const x = (at % columns) * pitch, y = Math.floor(at / columns) * pitch;
      draw(context, palette, lookOf(task), x, y, size);
    });
  }, [version, width, height, themeNumber]);
  const taskAt = (event: MouseEvent): Task | undefined => {
    const column = Math.floor(event.offsetX / pitch), row = Math.floor(event.offsetY / pitch);
    return column < columns ? tasks[row * columns + column] : undefined;
  };
  const point = (event: MouseEvent): void => {
    const task = taskAt(event), element = canvas.current;
    if (element) element.title = task ? visible(`${taskName(store, task)}: ${task.state}${task.message ? `, ${task.message}` : ""}`) : "";
  };
  const open = (event: MouseEvent): void => {
    const service = store.services.get(taskAt(event)?.service ?? "");
    if (!service) return;
    event.preventDefault();
    event.stopPropagation();
    navigate(`/services/${encodeURIComponent(service.name)}`);
  };
  return (
    <canvas ref={canvas} class="cells" aria-hidden="true" style={{ width: `${width}px`, height: `${height}px` }}
      onMouseMove={point} onClick={open} />
  );
}

/** Not by colour alone: what fails is crossed, what waits is hollow, what stops is half. */
function draw(
  context: CanvasRenderingContext2D, palette: Record<Look, string>, look: Look, x: number, y: number, size: number,
): void {
  context.fillStyle = context.strokeStyle = palette[look];
  if (look === "waiting" || look === "starting") {
    context.lineWidth = 2;
    context.strokeRect(x + 1, y + 1, size - 2, size - 2);
    if (look === "starting") context.fillRect(x, y + size / 2, size, size / 2);
    return;
  }
  if (look === "stopping") return context.fillRect(x, y + size / 2, size, size / 2);
  context.fillRect(x, y, size, size);
}
