// A table of any number of rows, of which the document has those that are seen.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { keepPosition, keptPosition } from "../scrolling";

const MARGIN_ROWS = 10;
/** Of a column that takes what is left, and between two columns (styles.css). */
const LEAST_REM = 6, GAP_REM = 0.8;

/** A table that is wider than its place scrolls, and has room for texts then. */
const leastOf = (width: string, roomy: boolean): number =>
  width.endsWith("rem") ? parseFloat(width) : LEAST_REM * (roomy ? parseFloat(width) : 1);
const sumOf = (widths: readonly number[]): number => widths.reduce((sum, each) => sum + each + GAP_REM, GAP_REM);

/** What is cut off is told to a pointer. */
function tellWhole(event: MouseEvent): void {
  const cell = (event.target as Element).closest<HTMLElement>("[role=cell]");
  if (cell && !cell.querySelector("button, a[aria-label]")) cell.title = cell.scrollWidth > cell.clientWidth ? cell.innerText : "";
}

const remsOf = (element: HTMLElement | null): number => (element ? element.clientWidth / parseFloat(getComputedStyle(document.documentElement).fontSize) : Infinity);

export interface Column<Row> {
  title: string;
  /** A width of the grid: "10rem", "1fr". */
  width: string;
  cell: (row: Row) => ComponentChildren;
}

export function VirtualTable<Row>(props: {
  label: string;
  rows: readonly Row[];
  columns: readonly Column<Row>[];
  keyOf: (row: Row) => string;
  rowHeight?: number;
  empty: string;
}) {
  const rowHeight = props.rowHeight ?? 36;
  const scroller = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800, width: Infinity });
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const measure = (): void => setView({ top: element.scrollTop, height: element.clientHeight, width: remsOf(element.parentElement) });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    if (element.parentElement) observer.observe(element.parentElement);
    const scrolled = (): void => (measure(), void keepPosition(props.label, element.scrollTop));
    element.addEventListener("scroll", scrolled, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", scrolled);
    };
  }, []);
  const filled = props.rows.length > 0;
  useLayoutEffect(() => {
    if (filled && scroller.current) scroller.current.scrollTop = keptPosition(props.label);
  }, [filled]);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - MARGIN_ROWS);
  const last = Math.min(props.rows.length, Math.ceil((view.top + view.height) / rowHeight) + MARGIN_ROWS);
  const leastWidths = (roomy: boolean): number[] => props.columns.map((each) => leastOf(each.width, roomy));
  const widths = leastWidths(sumOf(leastWidths(false)) > view.width);
  const columns = { gridTemplateColumns: props.columns.map((each, at) => `minmax(${widths[at]}rem, ${each.width})`).join(" ") };
  return (
    <div class="table" style={{ "--least": `${sumOf(widths)}rem` }} role="table" aria-label={props.label} aria-rowcount={props.rows.length + 1}>
      <div class="row head" role="row" style={columns}>
        {props.columns.map((each) => <span role="columnheader" key={each.title}>{each.title}</span>)}
      </div>
      <div class="rows" ref={scroller} onMouseOver={tellWhole} tabIndex={0} role="rowgroup" aria-label={props.label}>
        <div class="filler" style={{ height: `${props.rows.length * rowHeight}px` }} role="presentation">
          {props.rows.slice(first, last).map((row, at) => (
            <div class="row" role="row" key={props.keyOf(row)} aria-rowindex={first + at + 2}
              style={{ ...columns, height: `${rowHeight}px`, top: `${(first + at) * rowHeight}px` }}>
              {props.columns.map((each) => <span role="cell" key={each.title}>{each.cell(row)}</span>)}
            </div>
          ))}
        </div>
      </div>
      {!props.rows.length && <p class="quiet empty">{props.empty}</p>}
    </div>
  );
}
