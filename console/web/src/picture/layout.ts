// Where boxes and cells of the picture are. Pure.

import { isLive, type Task } from "../feed/rows";

export type SizeName = "large" | "medium" | "small";

export interface Size {
  /** Width of a box (of `SIZES` the least), and what is between two, in pixels. */
  box: number;
  gap: number;
  padding: number;
  /** Height of the line with the name; 0: none. */
  head: number;
  /** Height of the bars of CPU and memory; 0: none. */
  bars: number;
  /** Widths of cells, of few tasks and of many, and from how many on the next one is used. */
  cells: readonly [number, number, number];
  many: readonly [number, number];
  cellGap: number;
}

export const SIZES: Record<SizeName, Size> = {
  large: { box: 160, gap: 12, padding: 10, head: 22, bars: 32, cells: [12, 9, 6], many: [60, 200], cellGap: 2 },
  medium: { box: 112, gap: 8, padding: 8, head: 18, bars: 11, cells: [9, 6, 4], many: [48, 160], cellGap: 2 },
  small: { box: 52, gap: 5, padding: 5, head: 0, bars: 0, cells: [5, 3, 2], many: [56, 160], cellGap: 1 },
};

/** The largest size of which some screens show the cluster whole. */
export const sizeFor = (nodes: number): SizeName => (nodes <= 60 ? "large" : nodes <= 250 ? "medium" : "small");

/** A node's cells: `columns` of them in a row, `pitch` apart. */
export interface CellGrid {
  cell: number;
  pitch: number;
  columns: number;
}

export function cellGrid(size: Size, tasks: number): CellGrid {
  const cell = size.cells[tasks <= size.many[0] ? 0 : tasks <= size.many[1] ? 1 : 2], pitch = cell + size.cellGap;
  return { cell, pitch, columns: Math.max(1, Math.floor((size.box - 2 * size.padding + size.cellGap) / pitch)) };
}

export function boxHeight(size: Size, tasks: number): number {
  const { pitch, columns } = cellGrid(size, tasks), rows = Math.max(1, Math.ceil(tasks / columns));
  return 2 * size.padding + size.head + rows * pitch - size.cellGap + size.bars;
}

export const columnsIn = (size: Size, width: number): number =>
  Math.max(1, Math.floor((width + size.gap) / (size.box + size.gap)));

/** The size with boxes so wide that they fill the width. */
export function filling(size: Size, width: number): Size {
  const columns = columnsIn(size, width);
  return { ...size, box: Math.max(size.box, Math.floor((width - (columns - 1) * size.gap) / columns)) };
}

export interface Row {
  top: number;
  height: number;
}

/** A row is as high as its highest box. `tasks` are those of each node, in order. */
export function rowsOf(size: Size, columns: number, tasks: readonly number[]): { rows: Row[]; height: number } {
  const rows: Row[] = [];
  let top = 0;
  for (let first = 0; first < tasks.length; first += columns) {
    let most = 0;
    for (let at = first; at < Math.min(first + columns, tasks.length); at++) most = Math.max(most, boxHeight(size, tasks[at]!));
    rows.push({ top, height: most });
    top += most + size.gap;
  }
  return { rows, height: Math.max(0, top - size.gap) };
}

/** The first row that ends below `top`, and the one after the last that begins above `bottom`. */
export function rowsBetween(rows: readonly Row[], top: number, bottom: number): [first: number, end: number] {
  let first = 0;
  while (first < rows.length && rows[first]!.top + rows[first]!.height < top) first++;
  let end = first;
  while (end < rows.length && rows[end]!.top <= bottom) end++;
  return [first, end];
}

/** Which cell is at a point of a box; -1: none, or one after the last. */
export function cellAt(size: Size, tasks: number, x: number, y: number): number {
  const { pitch, columns } = cellGrid(size, tasks);
  const column = Math.floor((x - size.padding) / pitch), row = Math.floor((y - size.padding - size.head) / pitch);
  if (column < 0 || column >= columns || row < 0) return -1;
  const at = row * columns + column;
  return at < tasks ? at : -1;
}

/** The position that a key leads to, in so many columns and of so many boxes; it may be none of them. */
export const STEPS: Record<string, (columns: number, total: number, at: number) => number> = {
  ArrowLeft: (_, __, at) => at - 1,
  ArrowRight: (_, __, at) => at + 1,
  ArrowUp: (columns, _, at) => (at < columns ? at : at - columns),
  ArrowDown: (columns, total, at) => (at + columns < total ? at + columns : at),
  Home: () => 0,
  End: (_, total) => total - 1,
};

/** Live tasks in an order that stays: by service and slot. */
export const shownTasks = (tasks: Iterable<Task>): Task[] =>
  [...tasks].filter(isLive).sort((a, b) => compare(a.service, b.service) || a.slot - b.slot || compare(a.id, b.id));

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
