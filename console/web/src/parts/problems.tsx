// What is wrong now, and why, in words, first.

import { Link } from "../router";
import { useStore } from "../feed/use-store";
import type { Service } from "../feed/rows";
import type { Store } from "../feed/store";
import { count } from "../text";
import { Text } from "./basics";

const SHOWN = 12;

interface Problem {
  subject: string;
  to: string;
  text: string;
}

/** How many tasks a service should have; null: the planner's affair. */
export const desiredOf = (service: Service): number | null =>
  service.mode === "replicated" && !service.autoscale ? service.replicas : null;

export function problemsOf(store: Store): Problem[] {
  const found: Problem[] = [];
  for (const node of store.nodes.values()) {
    const to = `/nodes/${encodeURIComponent(node.name)}`;
    if (node.state !== "ready") found.push({ subject: node.name, to, text: `is ${node.state}` });
    for (const text of store.problemsOf(node)) found.push({ subject: node.name, to, text });
  }
  for (const service of store.services.values()) {
    const to = `/services/${encodeURIComponent(service.name)}`, { running } = store.ofService(service.id).sums;
    for (const text of service.problems) found.push({ subject: service.name, to, text });
    const desired = desiredOf(service);
    if (!service.problems.length && desired !== null && running < desired) {
      found.push({ subject: service.name, to, text: `${running} of ${count(desired, "task")} running` });
    }
    if (service.update && (service.paused || service.update.state === "paused" || service.update.state === "canary")) {
      const waits = service.update.state === "canary" ? "the update waits for promotion" : "the update is paused";
      found.push({ subject: service.name, to, text: service.update.message || waits });
    }
  }
  return found;
}

export function Problems() {
  const store = useStore("problems");
  const found = problemsOf(store);
  if (!found.length) return <p class="fine">{store.complete ? "Everything runs as it should." : "Loading…"}</p>;
  return (
    <section aria-label="What is wrong">
      <ul class="problems">
        {found.slice(0, SHOWN).map((each) => (
          <li key={each.subject + each.text}>
            <Link to={each.to}><Text of={each.subject} /></Link> <Text of={each.text} />
          </li>
        ))}
      </ul>
      {found.length > SHOWN && <p class="quiet">and {(found.length - SHOWN).toLocaleString("en")} more</p>}
    </section>
  );
}
