import { useMemo } from "preact/hooks";
import { useStore } from "../feed/use-store";
import type { Service } from "../feed/rows";
import type { Store } from "../feed/store";
import { Link, setQuery, useAddress } from "../router";
import { Age } from "../parts/age";
import { Dot, Text } from "../parts/basics";
import { desiredOf, isChanging } from "../parts/problems";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { byName, count, fits, numberText, visible } from "../text";

export function Services() {
  const store = useStore("services", "tasks");
  const { query } = useAddress();
  const filter = query.get("q") ?? "", stack = query.get("stack") ?? "", only = query.get("only") ?? "";
  const stacks = useMemo(
    () => [...new Set([...store.services.values()].map((each) => each.stack).filter(Boolean))].sort(),
    [store.services.size],
  );
  const rows = [...store.services.values()]
    .filter((each) => matches(each, filter) && (!stack || each.stack === stack) && (!only || isTroubled(store, each)))
    .sort(byName);
  return (
    <>
      <div class="title">
        <h1>Services</h1>
        <Link class="button" to="/create-service">Create…</Link>
      </div>
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <input type="search" aria-label="Filter by name, image or label" placeholder="Name, image or label" value={filter}
          onInput={(event) => setQuery({ q: event.currentTarget.value })} />
        <select aria-label="Stack" value={stack} onChange={(event) => setQuery({ stack: event.currentTarget.value })}>
          <option value="">All stacks</option>
          {stacks.map((each) => <option key={each} value={each}>{visible(each)}</option>)}
        </select>
        <label>
          <input type="checkbox" checked={!!only} onChange={(event) => setQuery({ only: event.currentTarget.checked ? "1" : "" })} />
          Only with problems
        </label>
        <span class="quiet" role="status">{count(rows.length, "service")}</span>
      </form>
      <VirtualTable label="Services" rows={rows} columns={serviceColumns(store)} keyOf={(each) => each.id}
        empty={store.services.size ? "No service fits the filter." : "There are no services yet."} />
    </>
  );
}

const matches = (service: Service, filter: string): boolean =>
  fits([service.name, service.image, ...Object.entries(service.labels).flat()], filter);

function isTroubled(store: Store, service: Service): boolean {
  const desired = desiredOf(service);
  return !!service.problems.length || (desired !== null && store.ofService(service.id).sums.running < desired);
}

export const serviceColumns = (store: Store): Column<Service>[] => [
  { title: "Name", width: "2fr", cell: (each) => <Link to={`/services/${encodeURIComponent(each.name)}`}><Text of={each.name} /></Link> },
  { title: "Tasks", width: "7rem", cell: (each) => <Running store={store} service={each} /> },
  { title: "Image", width: "3fr", cell: (each) => <Text of={each.image} /> },
  { title: "Stack", width: "1fr", cell: (each) => each.stack && <Link to={`/stacks/${encodeURIComponent(each.stack)}`}><Text of={each.stack} /></Link> },
  { title: "Update", width: "1fr", cell: (each) => each.update?.state.replace("_", " ") ?? "" },
  { title: "Changed", width: "6rem", cell: (each) => <Age since={each.updated} /> },
];

export function Running({ store, service }: { store: Store; service: Service }) {
  const { running } = store.ofService(service.id).sums, desired = desiredOf(service);
  return (
    <span class="state">
      <Dot look={!isTroubled(store, service) ? "running" : isChanging(store, service) ? "starting" : "failed"} />
      {numberText(running)}{desired === null ? "" : `/${numberText(desired)}`}
    </span>
  );
}
