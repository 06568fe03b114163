// One box of the picture: a node with its tasks as cells. Nothing is said by colour alone.

import { lookOfNode, type Look, type Node } from "../feed/rows";
import type { Sums } from "../feed/store";
import { visible } from "../text";
import { cellGrid, type Size } from "./layout";
import type { Palette } from "./palette";

export interface Box {
  node: Node;
  looks: readonly Look[];
  /** Cells that have changed a moment ago, by position. */
  fresh: ReadonlySet<number>;
  sums: Sums;
  troubled: boolean;
}

const RADIUS = 6, FULL = 0.95, HIGH = 0.8;

export function paintBox(context: CanvasRenderingContext2D, colours: Palette, size: Size, box: Box, x: number, height: number): void {
  context.clearRect(x - 1, 0, size.box + 2, height);
  paintFrame(context, colours, size, box, x, height);
  if (size.head) paintName(context, colours, size, box, x);
  const { cell, pitch, columns } = cellGrid(size, box.looks.length), left = x + size.padding, top = size.padding + size.head;
  for (let at = 0; at < box.looks.length; at++) {
    const cellX = left + (at % columns) * pitch, cellY = top + Math.floor(at / columns) * pitch;
    paintCell(context, colours, box.looks[at]!, cellX, cellY, cell);
    if (box.fresh.has(at)) {
      context.strokeStyle = colours.text;
      context.lineWidth = 1.5;
      context.strokeRect(cellX - 0.75, cellY - 0.75, cell + 1.5, cell + 1.5);
    }
  }
  if (size.bars) paintBars(context, colours, size, box, x, height);
}

function paintFrame(context: CanvasRenderingContext2D, colours: Palette, size: Size, box: Box, x: number, height: number): void {
  const down = box.node.state !== "ready", dashes = down ? [5, 3] : box.node.availability === "active" ? null : [2, 2];
  if (!size.head && !dashes) {
    // Of a thousand boxes: rectangles are painted many times as fast as rounded ones.
    context.fillStyle = colours.line;
    context.fillRect(x, 0, size.box, height);
    context.fillStyle = colours.card;
    context.fillRect(x + 1, 1, size.box - 2, height - 2);
  } else {
    const line = down ? 2 : 1;
    context.beginPath();
    context.roundRect(x + line / 2, line / 2, size.box - line, height - line, size.head ? RADIUS : 0);
    context.fillStyle = colours.card;
    context.fill();
    context.lineWidth = line;
    context.strokeStyle = down ? troubleColour(colours, box.node) : colours.line;
    context.setLineDash(dashes ?? []);
    context.stroke();
    context.setLineDash([]);
  }
  if (!box.troubled || down) return;
  context.fillStyle = colours.warn;
  context.fillRect(x, size.head ? RADIUS : 0, size.head ? 3 : 2, height - (size.head ? 2 * RADIUS : 0));
}

/** Of a node that is not ready. */
const troubleColour = (colours: Palette, node: Node): string => (lookOfNode(node) === "warning" ? colours.warn : colours.bad);

/** What a box says at its right: why no tasks come to it, else how many it has. */
function paintName(context: CanvasRenderingContext2D, colours: Palette, size: Size, box: Box, x: number): void {
  const pixels = size.bars > 20 ? 13.5 : 11.5, middle = size.padding + (size.head - 4) / 2;
  const { node } = box;
  const about = node.state !== "ready" ? node.state : node.availability !== "active" ? node.availability : String(box.looks.length);
  context.textBaseline = "middle";
  context.direction = "ltr";
  context.font = `${pixels - 1}px ${colours.family}`;
  context.fillStyle = node.state === "ready" ? colours.quiet : troubleColour(colours, node);
  context.textAlign = "right";
  context.fillText(about, x + size.box - size.padding, middle);
  const room = size.box - 2 * size.padding - context.measureText(about).width - 6;
  context.font = `600 ${pixels}px ${colours.family}`;
  context.fillStyle = colours.text;
  context.textAlign = "left";
  context.fillText(shortened(context, visible(node.name), room), x + size.padding, middle);
}

const shortNames = new Map<string, string>();

/** A text, cut where it would not fit. */
function shortened(context: CanvasRenderingContext2D, text: string, room: number): string {
  const key = `${context.font}\n${Math.round(room)}\n${text}`;
  const known = shortNames.get(key);
  if (known !== undefined) return known;
  let found = text;
  if (context.measureText(text).width > room) {
    let length = Math.min(text.length, Math.ceil(room / 3));
    while (length > 1 && context.measureText(`${text.slice(0, length)}…`).width > room) length--;
    found = `${text.slice(0, length)}…`;
  }
  if (shortNames.size > 20_000) shortNames.clear();
  shortNames.set(key, found);
  return found;
}

function paintBars(context: CanvasRenderingContext2D, colours: Palette, size: Size, box: Box, x: number, height: number): void {
  const named = size.bars > 20, pitch = named ? 13 : 5, top = height - size.padding - 2 * pitch + (named ? 0 : 1);
  const bars = [["CPU", box.sums.cpus, box.node.cpus], ["Memory", box.sums.memory, box.node.memory]] as const;
  bars.forEach(([name, used, total], at) => {
    const y = top + at * pitch, begin = x + size.padding + (named ? 46 : 0), width = x + size.box - size.padding - begin;
    if (named) {
      context.font = `10.5px ${colours.family}`;
      context.textAlign = "left";
      context.textBaseline = "middle";
      context.fillStyle = colours.quiet;
      context.fillText(name, x + size.padding, y + 6.5);
    }
    const part = Math.min(1, used / (total || 1)), thickness = named ? 5 : 3, barY = named ? y + 4 : y;
    paintBar(context, colours.track, begin, barY, width, thickness);
    if (part > 0) {
      const colour = part > FULL ? colours.bad : part > HIGH ? colours.warn : colours.accent;
      paintBar(context, colour, begin, barY, Math.max(thickness, width * part), thickness);
    }
  });
}

function paintBar(context: CanvasRenderingContext2D, colour: string, x: number, y: number, width: number, thickness: number): void {
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(x, y, width, thickness, thickness / 2);
  context.fill();
}

/** What waits is hollow, what starts fills up, what stops is the lower half, what needs attention has a hole. */
function paintCell(context: CanvasRenderingContext2D, colours: Palette, look: Look, x: number, y: number, size: number): void {
  context.fillStyle = colours.looks[look];
  if (look === "waiting" || look === "starting") {
    const line = size > 6 ? 2 : 1, inner = size - 2 * line;
    context.fillRect(x, y, size, size);
    context.fillStyle = colours.card;
    context.fillRect(x + line, y + line, inner, look === "starting" ? inner / 2 : inner);
    return;
  }
  if (look === "stopping") return context.fillRect(x, y + size / 2, size, size / 2);
  context.fillRect(x, y, size, size);
  if (look !== "warning") return;
  const hole = Math.max(1, Math.round(size / 3));
  context.fillStyle = colours.card;
  context.fillRect(x + (size - hole) / 2, y + (size - hole) / 2, hole, hole);
}
