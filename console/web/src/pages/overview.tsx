import { useLayoutEffect, useRef } from "preact/hooks";
import { store as theStore } from "../feed/store";
import { useStore } from "../feed/use-store";
import { isLive, lookOf, type Look, type Node } from "../feed/rows";
import { looksText, stateText } from "../picture/box-links";
import { ClusterPicture } from "../picture/cluster-picture";
import { shownTasks, sizeFor, SIZES, type SizeName } from "../picture/layout";
import { Link, navigate, setQuery, useAddress } from "../router";
import { Dot, Meter, Text } from "../parts/basics";
import { Problems } from "../parts/problems";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { byName, count, cpuText, memoryText, numberText } from "../text";

const LEGEND: readonly Look[] = ["running", "warning", "starting", "waiting", "stopping"];

export function Overview() {
  return (
    <div class="overview">
      <h1>Overview</h1>
      <Problems />
      <Totals />
      <Waiting />
      <Cluster />
    </div>
  );
}

function Totals() {
  const store = useStore("totals", "nodes", "services");
  const { cpus, memory } = capacity(store.nodes.values()), sums = store.totals;
  return (
    <section class="totals" aria-label="Totals">
      <Total value={store.nodes.size} unit="node" />
      <Total value={store.services.size} unit="service" />
      <Total value={sums.running} unit="running task" />
      <div><Meter label="CPU reserved" used={sums.cpus} total={cpus} text={`${cpuText(sums.cpus)} of ${cpuText(cpus)}`} /></div>
      <div><Meter label="Memory reserved" used={sums.memory} total={memory} text={`${memoryText(sums.memory)} of ${memoryText(memory)}`} /></div>
    </section>
  );
}

const Total = ({ value, unit }: { value: number; unit: string }) => (
  <p><strong>{numberText(value)}</strong> {value === 1 ? unit : `${unit}s`}</p>
);

function capacity(nodes: Iterable<Node>): { cpus: number; memory: number } {
  let cpus = 0, memory = 0;
  for (const node of nodes) if (node.state === "ready") (cpus += node.cpus), (memory += node.memory);
  return { cpus, memory };
}

/** Tasks that no node has. */
function Waiting() {
  const store = useStore("node:");
  const reasons = new Map<string, number>();
  let waiting = 0;
  for (const task of store.onNode("").tasks.values()) {
    if (!isLive(task)) continue;
    waiting++;
    reasons.set(task.message, (reasons.get(task.message) ?? 0) + 1);
  }
  if (!waiting) return null;
  return (
    <section class="waiting" aria-label="Tasks without a node">
      <h2>{count(waiting, "task")} without a node</h2>
      <ul>{[...reasons].map(([reason, number]) => <li key={reason}>{number}: <Text of={reason || "not placed yet"} /></li>)}</ul>
    </section>
  );
}

const VIEWS = [...Object.keys(SIZES), "table"] as (SizeName | "table")[];
const TITLES: Record<(typeof VIEWS)[number], string> = { large: "Large", medium: "Medium", small: "Small", table: "Table" };

function Cluster() {
  const store = useStore("nodes"), asked = useAddress().query.get("view");
  const own = sizeFor(store.nodes.size), view = VIEWS.find((each) => each === asked) ?? own;
  return (
    <section aria-label="Nodes and their tasks">
      <div class="above-picture">
        <p class="legend quiet">{LEGEND.map((look) => <span key={look}><Dot look={look} /> {look}</span>)}</p>
        <div class="choice" role="group" aria-label="View">
          {VIEWS.map((each) => (
            <button key={each} type="button" aria-pressed={each === view} onClick={() => setQuery({ view: each === own ? "" : each })}>{TITLES[each]}</button>
          ))}
        </div>
      </div>
      {view === "table" ? <Table /> : <Picture size={view === own ? null : view} />}
    </section>
  );
}

function Picture({ size }: { size: SizeName | null }) {
  const host = useRef<HTMLDivElement>(null), picture = useRef<ClusterPicture>(null);
  useLayoutEffect(() => {
    if (!host.current) return;
    const around = host.current.closest(".overview")!;
    const made = (picture.current = new ClusterPicture(host.current, around, theStore, navigate));
    return () => made.close();
  }, []);
  useLayoutEffect(() => picture.current?.setSize(size), [size]);
  return <div ref={host} class="picture" />;
}

/** What the picture shows, as text. */
function Table() {
  const store = useStore("nodes", "tasks");
  const columns: Column<Node>[] = [
    { title: "Node", width: "2fr", cell: (each) => <Link to={`/nodes/${encodeURIComponent(each.name)}`}><Text of={each.name} /></Link> },
    { title: "State", width: "1fr", cell: stateText },
    { title: "Tasks", width: "3fr", cell: (each) => looksText(shownTasks(store.onNode(each.id).tasks.values()).map(lookOf)) },
    { title: "CPU", width: "10rem", cell: (each) => `${cpuText(store.onNode(each.id).sums.cpus)} of ${cpuText(each.cpus)}` },
    { title: "Memory", width: "12rem", cell: (each) => `${memoryText(store.onNode(each.id).sums.memory)} of ${memoryText(each.memory)}` },
    { title: "Problems", width: "3fr", cell: (each) => <Text of={store.problemsOf(each).join("; ")} /> },
  ];
  return (
    <VirtualTable label="Nodes" rows={[...store.nodes.values()].sort(byName)} columns={columns} keyOf={(each) => each.id}
      empty="There are no nodes yet." />
  );
}
