// The boxes of a row as links over its canvas: names, addresses and the focus are the browser's own. One of them is a stop
// of the Tab key, the others are reached from it by arrows.

import { LOOKS, type Look, type Node } from "../feed/rows";
import { cpuText, memoryText, visible } from "../text";
import type { Box } from "./paint";

export const nodeAddress = (node: Node): string => `/nodes/${encodeURIComponent(node.name)}`;

/** "10 running, 1 stopping". */
export function looksText(looks: readonly Look[]): string {
  const counts = new Map<string, number>();
  for (const look of looks) counts.set(look, (counts.get(look) ?? 0) + 1);
  const parts = LOOKS.filter((look) => counts.has(look)).map((look) => `${counts.get(look)} ${look}`);
  return parts.join(", ") || "no tasks";
}

/** "ready", "ready, drain". */
export const stateText = (node: Node): string => node.state + (node.availability === "active" ? "" : `, ${node.availability}`);

/** What a box shows, in words. */
export const labelOf = (box: Box): string =>
  `${visible(box.node.name)}, ${stateText(box.node)}, ${looksText(box.looks)}${box.troubled ? ", has problems" : ""}`;

/** What is reserved of a node, in words. */
export const reservedText = ({ node, sums }: Box): string =>
  `CPU ${cpuText(sums.cpus)} of ${cpuText(node.cpus)}, memory ${memoryText(sums.memory)} of ${memoryText(node.memory)}`;

const template = document.createElement("li");
template.append(document.createElement("a"));
template.firstElementChild!.setAttribute("tabindex", "-1");

export class BoxLink {
  readonly item = template.cloneNode(true) as HTMLLIElement;
  readonly link = this.item.firstElementChild as HTMLAnchorElement;
  private label = "";

  constructor(readonly node: Node, position: number, total: number) {
    this.item.ariaPosInSet = String(position + 1);
    this.item.ariaSetSize = String(total);
    this.link.href = nodeAddress(node);
    this.link.dataset.position = String(position);
  }

  place(x: number, y: number, width: number, height: number): void {
    this.link.style.cssText = `left:${x}px;top:${y}px;width:${width}px;height:${height}px`;
  }

  describe(label: string): void {
    if (label === this.label) return;
    this.label = label;
    this.link.ariaLabel = label;
  }
}
