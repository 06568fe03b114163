// All nodes as boxes with their tasks as cells. The document has a canvas and links for each row of boxes that is in view;
// a change paints the boxes that it is about, once a frame. It is outside of the pages' tree for that reason.

import { lookOf, type Look, type Node, type Task } from "../feed/rows";
import type { Store } from "../feed/store";
import { byName } from "../text";
import { nodeAddress } from "./box-links";
import { cellAt, columnsIn, filling, rowsBetween, rowsOf, shownTasks, sizeFor, SIZES, STEPS, type Row, type Size, type SizeName } from "./layout";
import type { Box } from "./paint";
import { onThemeChange } from "./palette";
import { PictureRow } from "./picture-row";
import { Tooltip } from "./tooltip";

/** Pixels above and below of what is in view that are painted too. */
const MARGIN = 150;
const TOP_MS = 250, FRESH_MS = 600;
/** More changes at once are a picture of their own: none of them is marked. */
const MOST_FRESH = 60;

export class ClusterPicture {
  private readonly layer = document.createElement("div");
  private readonly list = document.createElement("ul");
  private readonly tooltip: Tooltip;
  private nodes: Node[] = [];
  private positions = new Map<string, number>();
  private rows: Row[] = [];
  private readonly shown = new Map<number, PictureRow>();
  private columns = 1;
  private width = 0;
  private active = 0;
  /** null: as fits the number of nodes. */
  private asked: SizeName | null = null;
  private size: Size = SIZES.large;
  private tabStop: HTMLAnchorElement | undefined;
  /** Of the picture in the window, which is read seldom: reading it makes the browser work out where everything is. */
  private top = 0;
  private topUntil = 0;
  /** What each task looked like when its node was painted last, and until when a change of it is marked. */
  private readonly looks = new Map<string, Look>();
  private readonly fresh = new Map<string, { node: string; until: number }>();
  private freshTimer = 0;
  /** Tells again what the tooltip is about, after a change of the picture; null: it is about nothing. */
  private retell: (() => void) | null = null;
  /** Where the pointer is in the window, also beside the picture: what moves the picture may bring it back. */
  private pointer: readonly [x: number, y: number] = [-1, -1];
  private readonly still = matchMedia("(prefers-reduced-motion: reduce)");
  private readonly stop: (() => void)[] = [];

  /**
   * @param around what has the picture and all that is above it: as its height changes, the picture moves.
   * @param open goes to an address of the console.
   */
  constructor(private readonly host: HTMLElement, around: Element, private readonly store: Store, private readonly open: (address: string) => void) {
    this.tooltip = new Tooltip(store);
    this.list.ariaLabel = "Nodes";
    this.list.role = "list";
    this.layer.className = "canvases";
    host.append(this.layer, this.list, this.tooltip.element);
    const listen = (target: EventTarget, name: string, listener: (event: never) => void): void => {
      target.addEventListener(name, listener as EventListener, { passive: name === "scroll" });
      this.stop.push(() => target.removeEventListener(name, listener as EventListener));
    };
    const scrolled = (): void => {
      this.topUntil = 0;
      this.showRows();
      this.retell?.();
    };
    listen(window, "scroll", scrolled);
    listen(window, "resize", scrolled);
    listen(this.list, "click", (event: MouseEvent) => this.clicked(event));
    listen(this.list, "keydown", (event: KeyboardEvent) => this.key(event));
    for (const name of ["pointermove", "pointerover"]) listen(this.list, name, (event: PointerEvent) => this.point(event));
    listen(this.list, "pointerout", (event: PointerEvent) => this.left(event));
    listen(this.list, "focusin", (event: FocusEvent) => this.focused(event));
    listen(this.list, "focusout", () => this.silence());
    listen(document, "pointermove", ({ clientX, clientY }: PointerEvent) => (this.pointer = [clientX, clientY]));
    listen(host, "pointerleave", (event: PointerEvent) => this.leave(event));
    const observer = new ResizeObserver(() => (this.resized(), this.retell?.()));
    observer.observe(host);
    observer.observe(around);
    this.stop.push(() => observer.disconnect(), onThemeChange(() => this.rebuild()));
    this.stop.push(store.onFrame((changed) => this.follow(changed)));
  }

  close(): void {
    for (const each of this.stop) each();
    clearTimeout(this.freshTimer);
    this.host.replaceChildren();
  }

  setSize(name: SizeName | null): void {
    this.asked = name;
    this.rebuild();
  }

  private resized(): void {
    if (this.nodes.length && this.host.clientWidth !== this.width) this.rebuild();
  }

  /** Other nodes, another width, other colours: everything anew. */
  private rebuild(): void {
    const focused = this.list.contains(document.activeElement) ? this.nodes[this.active]?.id : undefined, { retell } = this;
    for (const each of this.shown.values()) each.remove();
    this.shown.clear();
    this.nodes = [...this.store.nodes.values()].sort(byName);
    this.positions = new Map(this.nodes.map((each, at) => [each.id, at]));
    // Of an empty picture nothing is measured: the page may not have been laid out yet.
    this.width = this.nodes.length && this.host.clientWidth;
    this.size = filling(SIZES[this.asked ?? sizeFor(this.nodes.length)], this.width);
    this.columns = columnsIn(this.size, this.width);
    this.active = Math.max(0, this.positions.get(focused ?? "") ?? Math.min(this.active, this.nodes.length - 1));
    this.arrange();
    this.showRows();
    if (focused && this.positions.has(focused)) this.linkAt(this.active)?.focus({ preventScroll: true });
    this.retell = retell;
    this.retell?.();
  }

  private arrange(): void {
    const { rows, height } = rowsOf(this.size, this.columns, this.nodes.map((each) => this.store.onNode(each.id).sums.live));
    this.rows = rows;
    this.host.style.height = `${height}px`;
  }

  /** Paint what has changed in the store. */
  private follow({ nodes, membership }: { nodes: ReadonlySet<string>; membership: boolean }): void {
    if (!nodes.size) return;
    if (membership && this.isOtherNodes()) return this.rebuild();
    this.arrange();
    const painted = this.showRows();
    for (const id of nodes) {
      const position = this.positions.get(id);
      if (position === undefined) continue;
      const row = Math.floor(position / this.columns);
      if (!painted.has(row)) this.paint(position, true);
    }
    this.retell?.();
  }

  private isOtherNodes(): boolean {
    const { nodes } = this.store;
    if (nodes.size !== this.nodes.length) return true;
    for (let at = 0; at < this.nodes.length; at++) {
      const before = this.nodes[at]!, now = nodes.get(before.id);
      if (!now || now.name !== before.name) return true;
      this.nodes[at] = now;
    }
    return false;
  }

  /** Have the rows that are in view, where they belong; which of them have been painted whole. */
  private showRows(): Set<number> {
    const painted = new Set<number>();
    if (!this.width) return painted;
    const [first, end] = this.rowsInView();
    const focused = this.list.contains(document.activeElement) ? Math.floor(this.active / this.columns) : -1;
    for (const [at, row] of this.shown) {
      if ((at >= first && at < end) || at === focused) continue;
      row.remove();
      this.shown.delete(at);
    }
    for (let at = first; at < end; at++) if (!this.shown.has(at)) this.add(at);
    for (const [at, row] of this.shown) {
      if (!row.place(this.rows[at]!)) continue;
      painted.add(at);
      row.links.forEach((_, offset) => this.paint(row.first + offset, false));
    }
    this.keepTabStop(first);
    return painted;
  }

  private rowsInView(): [first: number, end: number] {
    const now = performance.now();
    if (now >= this.topUntil) {
      this.top = this.host.getBoundingClientRect().top;
      this.topUntil = now + TOP_MS;
    }
    return rowsBetween(this.rows, -this.top - MARGIN, innerHeight - this.top + MARGIN);
  }

  private add(at: number): PictureRow {
    const first = at * this.columns, nodes = this.nodes.slice(first, first + this.columns);
    const row = new PictureRow(this.size, this.width, first, nodes, this.nodes.length);
    const after = [...this.shown.keys()].filter((each) => each > at).sort((a, b) => a - b)[0];
    this.layer.append(row.canvas);
    const before = after === undefined ? null : this.shown.get(after)!.links[0]!.item;
    for (const each of row.links) this.list.insertBefore(each.item, before);
    this.shown.set(at, row);
    return row;
  }

  private boxOf(node: Node, tasks: readonly Task[]): Box {
    const fresh = new Set<number>();
    tasks.forEach((each, at) => this.fresh.has(each.id) && fresh.add(at));
    const troubled = node.problems.length > 0 || !!this.store.warnings[node.id]?.length;
    return { node, looks: tasks.map(lookOf), fresh, sums: this.store.onNode(node.id).sums, troubled };
  }

  /** @param changed it is painted because tasks of it have changed: they are marked. */
  private paint(position: number, changed: boolean): void {
    const row = this.shown.get(Math.floor(position / this.columns)), known = this.nodes[position];
    if (!row || !known) return;
    const node = this.store.nodes.get(known.id) ?? known, tasks = this.tasksOf(node);
    this.mark(node, tasks, changed);
    row.paint(position - row.first, this.boxOf(node, tasks));
  }

  private mark(node: Node, tasks: readonly Task[], changed: boolean): void {
    if (this.still.matches || !this.size.head) return;
    for (const task of tasks) {
      const look = lookOf(task), before = this.looks.get(task.id);
      if (before === look) continue;
      this.looks.set(task.id, look);
      if (!changed || this.fresh.size >= MOST_FRESH) continue;
      this.fresh.set(task.id, { node: node.id, until: performance.now() + FRESH_MS });
      if (!this.freshTimer) this.freshTimer = window.setTimeout(() => this.fade(), FRESH_MS);
    }
  }

  /** Marks end. */
  private fade(): void {
    const now = performance.now(), nodes = new Set<string>();
    let next = Infinity;
    for (const [id, { node, until }] of this.fresh) {
      if (until > now) next = Math.min(next, until);
      else this.fresh.delete(id), nodes.add(node);
    }
    this.freshTimer = next === Infinity ? 0 : window.setTimeout(() => this.fade(), next - now);
    for (const id of nodes) {
      const position = this.positions.get(id);
      if (position !== undefined) this.paint(position, false);
    }
    if (this.looks.size > 2 * this.store.tasks.size + 1000) this.looks.clear();
  }

  private tasksOf(node: Node): Task[] {
    return shownTasks(this.store.onNode(node.id).tasks.values());
  }

  private linkAt(position: number): HTMLAnchorElement | undefined {
    const row = this.shown.get(Math.floor(position / this.columns));
    return row?.links[position - row.first]?.link;
  }

  /** One link is reached by Tab: the active one, else the first that there is. */
  private keepTabStop(first: number): void {
    const wanted = this.linkAt(this.active) ?? this.linkAt(first * this.columns);
    if (this.tabStop === wanted) return;
    if (this.tabStop) this.tabStop.tabIndex = -1;
    if (wanted) wanted.tabIndex = 0;
    this.tabStop = wanted;
  }

  private focused(event: FocusEvent): void {
    const position = positionOf(event.target);
    if (position < 0) return;
    this.active = position;
    this.keepTabStop(0);
    if (!(event.target as Element).matches(":focus-visible")) return;
    this.retell = () => this.tellActive();
    this.retell();
  }

  private tellActive(): void {
    const row = this.rows[Math.floor(this.active / this.columns)], node = this.nodes[this.active];
    if (!row || !node) return this.tooltip.hide();
    const x = (this.active % this.columns) * (this.size.box + this.size.gap);
    this.tooltip.ofNode(this.boxOf(node, this.tasksOf(node)), x, row.top + row.height);
  }

  private silence(): void {
    this.retell = null;
    this.tooltip.hide();
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "Escape") this.silence();
    const step = STEPS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const to = Math.min(Math.max(0, step(this.columns, this.nodes.length, this.active)), this.nodes.length - 1);
    const at = Math.floor(to / this.columns), row = this.rows[at];
    if (!row) return;
    if (!this.shown.has(at)) {
      this.add(at).place(row);
      this.shown.get(at)!.links.forEach((_, offset) => this.paint(at * this.columns + offset, false));
    }
    this.linkAt(to)?.focus();
  }

  /** The task at a point of a box, if there is one. */
  private taskAt(target: EventTarget | null, x: number, y: number): { node: Node | undefined; task: Task | undefined } {
    const node = this.nodes[positionOf(target)];
    if (!node) return { node, task: undefined };
    const tasks = this.tasksOf(node);
    return { node, task: tasks[cellAt(this.size, tasks.length, x, y)] };
  }

  private point({ target, offsetX, offsetY, clientX, clientY }: PointerEvent): void {
    this.pointer = [clientX, clientY];
    this.retell = () => this.pointAgain();
    this.tellOf(target, offsetX, offsetY);
  }

  /** The pointer goes elsewhere, or the picture moves away from under it. */
  private leave({ pointerType, relatedTarget }: PointerEvent): void {
    if (pointerType !== "mouse" || !relatedTarget) return this.silence(); // a finger, or out of the window
    this.retell = () => this.pointAgain();
    this.tooltip.hide();
  }

  /** The pointer rests, and what is under it may be something else. */
  private pointAgain(): void {
    const [x, y] = this.pointer, target = document.elementFromPoint(x, y), box = target?.getBoundingClientRect();
    this.tellOf(target, x - (box?.left ?? 0), y - (box?.top ?? 0));
  }

  /** @param offsetX, offsetY a point of the target, which may be a box's link. */
  private tellOf(target: EventTarget | null, offsetX: number, offsetY: number): void {
    const { node, task } = this.taskAt(target, offsetX, offsetY);
    if (!node) return this.tooltip.hide();
    // The link is that of what is under the pointer, so that a middle click opens it, too.
    const link = target as HTMLAnchorElement, address = task ? `/tasks/${encodeURIComponent(task.id)}` : nodeAddress(node);
    if (link.getAttribute("href") !== address) link.setAttribute("href", address);
    const x = link.offsetLeft + offsetX, y = link.offsetTop + offsetY + 8;
    if (task) this.tooltip.ofTask(task, x, y);
    else this.tooltip.ofNode(this.boxOf(this.store.nodes.get(node.id) ?? node, this.tasksOf(node)), x, y);
  }

  private left(event: PointerEvent): void {
    this.tooltip.hide();
    const node = this.nodes[positionOf(event.target)];
    if (node) (event.target as HTMLAnchorElement).setAttribute("href", nodeAddress(node));
  }

  private clicked(event: MouseEvent): void {
    if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const { node, task } = this.taskAt(event.target, event.offsetX, event.offsetY);
    if (!node) return;
    event.preventDefault();
    // A click by keyboard has no place.
    this.open(task && event.detail ? `/tasks/${encodeURIComponent(task.id)}` : nodeAddress(node));
  }
}

const positionOf = (target: EventTarget | null): number => Number((target as HTMLElement | null)?.dataset?.position ?? -1);
