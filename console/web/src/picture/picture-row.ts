// A row of boxes: one canvas, and the links over it.

import type { Node } from "../feed/rows";
import { BoxLink, labelOf } from "./box-links";
import type { Row, Size } from "./layout";
import { paintBox, type Box } from "./paint";
import { palette } from "./palette";

export class PictureRow {
  readonly canvas = document.createElement("canvas");
  readonly links: BoxLink[];
  private row: Row = { top: -1, height: -1 };
  private scale = 0;

  /** @param first position of the row's first node among all. */
  constructor(private readonly size: Size, private readonly width: number, readonly first: number, nodes: readonly Node[], total: number) {
    this.canvas.ariaHidden = "true";
    this.canvas.style.width = `${width}px`;
    this.links = nodes.map((each, at) => new BoxLink(each, first + at, total));
  }

  /** Put the row where it belongs; whether all of it is to be painted again. */
  place(row: Row): boolean {
    const scale = devicePixelRatio || 1, resized = row.height !== this.row.height || scale !== this.scale;
    if (!resized && row.top === this.row.top) return false;
    this.row = row;
    this.canvas.style.top = `${row.top}px`;
    const { box, gap } = this.size;
    this.links.forEach((each, at) => each.place(at * (box + gap), row.top, box, row.height));
    if (!resized) return false;
    this.scale = scale;
    this.canvas.style.height = `${row.height}px`;
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round(row.height * scale);
    return true;
  }

  /** Paint one box; `at` is its place in the row. */
  paint(at: number, box: Box): void {
    const context = this.canvas.getContext("2d");
    if (!context) return;
    context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    paintBox(context, palette(), this.size, box, at * (this.size.box + this.size.gap), this.row.height);
    this.links[at]?.describe(labelOf(box));
  }

  remove(): void {
    this.canvas.remove();
    for (const each of this.links) each.item.remove();
  }
}
