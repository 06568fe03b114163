// What is wrong now, and why, in words, first.

import { useState } from "preact/hooks";
import { Link } from "../router";
import { useStore } from "../feed/use-store";
import type { Service } from "../feed/rows";
import type { Store } from "../feed/store";
import { count, numberText } from "../text";
import { Text } from "./basics";

const SHOWN = 6;

interface Problem {
  subject: string;
  to: string;
  text: string;
  /** Nothing is wrong: tasks or an agent start, or an update waits for a person. */
  changing?: boolean;
}

/** How many tasks a service should have; null: the planner's affair. */
export const desiredOf = (service: Service): number | null =>
  service.mode === "replicated" && !service.autoscale ? service.replicas : null;

/** Fewer tasks run than should, and the others are on their way: nothing is wrong with it yet. */
export function isChanging(store: Store, service: Service): boolean {
  const desired = desiredOf(service);
  return !service.problems.length && desired !== null && store.ofService(service.id).sums.placed >= desired;
}

export function problemsOf(store: Store): Problem[] {
  const found: Problem[] = store.clusterWarnings.map((text) => ({ subject: "Cluster", to: "/health", text }));
  for (const node of store.nodes.values()) {
    const to = `/nodes/${encodeURIComponent(node.name)}`, changing = node.state === "restarting";
    if (node.state !== "ready") found.push({ subject: node.name, to, text: `is ${node.state}`, changing });
    for (const text of store.problemsOf(node)) found.push({ subject: node.name, to, text, changing });
  }
  for (const service of store.services.values()) {
    const to = `/services/${encodeURIComponent(service.name)}`, { running } = store.ofService(service.id).sums;
    for (const text of service.problems) found.push({ subject: service.name, to, text });
    const desired = desiredOf(service);
    if (!service.problems.length && desired !== null && running < desired) {
      found.push({ subject: service.name, to, text: `${running} of ${count(desired, "task")} running`, changing: isChanging(store, service) });
    }
    if (service.update && (service.paused || service.update.state === "paused" || service.update.state === "canary")) {
      const waits = service.update.state === "canary" ? "the update waits for promotion" : "the update is paused";
      found.push({ subject: service.name, to, text: service.update.message || waits, changing: service.update.state === "canary" });
    }
  }
  return found;
}

export function Problems() {
  const store = useStore("problems");
  if (!store.complete) return <p class="fine" role="status">Loading the cluster…</p>;
  const found = problemsOf(store), wrong = found.filter((each) => !each.changing), changing = found.filter((each) => each.changing);
  return (
    <>
      {!wrong.length && <p class="fine">Everything runs as it should.</p>}
      <List label="What is wrong" class="problems" rows={wrong} />
      <List label="What is changing" class="changing" rows={changing} />
    </>
  );
}

function List({ label, class: looks, rows }: { label: string; class: string; rows: Problem[] }) {
  const [all, setAll] = useState(false);
  if (!rows.length) return null;
  return (
    <section aria-label={label} class={looks}>
      <ul>
        {(all ? rows : rows.slice(0, SHOWN)).map((each) => (
          <li key={each.subject + each.text}>
            <Link to={each.to}><Text of={each.subject} /></Link> <Text of={each.text} />
          </li>
        ))}
      </ul>
      {rows.length > SHOWN && (
        <button type="button" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? "Show fewer" : `Show ${numberText(rows.length - SHOWN)} more`}
        </button>
      )}
    </section>
  );
}
