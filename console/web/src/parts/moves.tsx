// Where a change would have tasks run, by the planner's own dry run.

import { count } from "../text";
import { Text } from "./basics";

const SHOWN = 20;

export interface Move {
  name?: string;
  from_hostname?: string;
  to_hostname?: string;
  pending_reason?: string;
}

function moveText({ from_hostname: from, to_hostname: to, pending_reason: reason }: Move): string {
  if (reason) return `waits: ${reason}`;
  if (!to) return from ? `removed from ${from}` : "removed";
  if (!from) return `→ ${to}`;
  return from === to ? `replaced on ${to}` : `${from} → ${to}`;
}

export function Moves({ moves }: { moves: Move[] }) {
  if (!moves.length) return null;
  return (
    <ul aria-label="Where tasks go">
      {moves.slice(0, SHOWN).map((each) => <li key={each.name}><Text of={`${each.name ?? ""} ${moveText(each)}`} /></li>)}
      {moves.length > SHOWN && <li>and {count(moves.length - SHOWN, "more task", "more tasks")}</li>}
    </ul>
  );
}
