// What is under the pointer or has the focus, in words, beside it.

import { stateText as taskText, type Task } from "../feed/rows";
import type { Store } from "../feed/store";
import { taskName } from "../parts/names";
import { ageText, visible } from "../text";
import { looksText, reservedText, stateText } from "./box-links";
import type { Box } from "./paint";

const BELOW = 8, EDGE = 4;

export class Tooltip {
  readonly element = document.createElement("div");

  constructor(private readonly store: Store) {
    this.element.role = "tooltip";
    this.element.className = "tooltip";
    this.element.hidden = true;
  }

  hide(): void {
    this.element.hidden = true;
  }

  ofTask(task: Task, x: number, y: number): void {
    const about = [taskText(task), task.since ? `for ${ageText(task.since)}` : ""].filter(Boolean).join(" ");
    this.show([taskName(this.store, task), about, task.message], x, y);
  }

  ofNode(box: Box, x: number, y: number): void {
    this.show([box.node.name, `${stateText(box.node)}, ${looksText(box.looks)}`, reservedText(box), ...this.store.problemsOf(box.node)], x, y);
  }

  /** @param x, y the point in the picture that it is about: it stands below, inside of the picture. */
  private show(lines: readonly string[], x: number, y: number): void {
    this.element.replaceChildren(
      ...lines.filter(Boolean).map((each, at) => {
        const line = document.createElement("div");
        if (!at) line.className = "name";
        line.textContent = visible(each);
        return line;
      }),
    );
    this.element.hidden = false;
    const room = (this.element.parentElement?.clientWidth ?? 0) - this.element.offsetWidth - EDGE;
    this.element.style.left = `${Math.max(EDGE, Math.min(x, room))}px`;
    this.element.style.top = `${y + BELOW}px`;
  }
}
