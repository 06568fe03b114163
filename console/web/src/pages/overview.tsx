import { useStore } from "../feed/use-store";
import { LOOKS, lookOf, type Look, type Node, type Task } from "../feed/rows";
import { Link } from "../router";
import { Dot, Meter, Text } from "../parts/basics";
import { Cells, shownTasks } from "../parts/cells";
import { Problems } from "../parts/problems";
import { byName, count, cpuText, memoryText, visible } from "../text";

const BOX_WIDTH = 148;
const LEGEND: readonly Look[] = ["running", "warning", "starting", "waiting", "stopping"];

export function Overview() {
  return (
    <>
      <h1>Overview</h1>
      <Problems />
      <Totals />
      <Waiting />
      <Boxes />
      <p class="legend quiet">{LEGEND.map((look) => <span key={look}><Dot look={look} /> {look} </span>)}</p>
    </>
  );
}

function Totals() {
  const store = useStore("totals", "nodes", "services");
  const { cpus, memory } = capacity(store.nodes.values()), sums = store.totals;
  return (
    <section class="totals" aria-label="Totals">
      <p>
        {count(store.nodes.size, "node")}, {count(store.services.size, "service")}, {count(sums.running, "running task")}
      </p>
      <Meter label="CPU reserved" used={sums.cpus} total={cpus} text={`${cpuText(sums.cpus)} of ${cpuText(cpus)}`} />
      <Meter label="Memory reserved" used={sums.memory} total={memory}
        text={`${memoryText(sums.memory)} of ${memoryText(memory)}`} />
    </section>
  );
}

function capacity(nodes: Iterable<Node>): { cpus: number; memory: number } {
  let cpus = 0, memory = 0;
  for (const node of nodes) if (node.state === "ready") (cpus += node.cpus), (memory += node.memory);
  return { cpus, memory };
}

/** Tasks that no node has. */
function Waiting() {
  const store = useStore("node:");
  const tasks = shownTasks(store.onNode(""));
  if (!tasks.length) return null;
  const reasons = new Map<string, number>();
  for (const task of tasks) reasons.set(task.message, (reasons.get(task.message) ?? 0) + 1);
  return (
    <section class="waiting" aria-label="Tasks without a node">
      <h2>{count(tasks.length, "task")} without a node</h2>
      <ul>{[...reasons].map(([reason, number]) => <li key={reason}>{number}: <Text of={reason || "not placed yet"} /></li>)}</ul>
    </section>
  );
}

function Boxes() {
  const store = useStore("nodes");
  const nodes = [...store.nodes.values()].sort(byName);
  return (
    <ul class="boxes" aria-label="Nodes">
      {nodes.map((node) => <Box key={node.id} id={node.id} />)}
    </ul>
  );
}

function Box({ id }: { id: string }) {
  const store = useStore(`node:${id}`, "theme");
  const node = store.nodes.get(id);
  if (!node) return null;
  const group = store.onNode(id), tasks = shownTasks(group);
  const about = node.state !== "ready" ? node.state : node.availability !== "active" ? node.availability : "";
  return (
    <li class={`box ${node.state !== "ready" ? "down" : store.problemsOf(node).length ? "troubled" : ""}`}>
      <Link to={`/nodes/${encodeURIComponent(node.name)}`} label={labelOf(node, tasks)}>
        <span class="name"><Text of={node.name} /></span>
        <span class="quiet">{about || tasks.length}</span>
      </Link>
      <Cells tasks={tasks} width={BOX_WIDTH} version={tasks.map((each) => each.id + lookOf(each)).join()} />
      <Bar label="CPU" used={group.sums.cpus} total={node.cpus} />
      <Bar label="Memory" used={group.sums.memory} total={node.memory} />
    </li>
  );
}

const Bar = ({ label, used, total }: { label: string; used: number; total: number }) => (
  <div class="bar-of">
    <span class="quiet" aria-hidden="true">{label}</span>
    <meter min={0} max={total || 1} value={used} low={total * 0.8} high={total * 0.95} optimum={0} aria-label={`${label} reserved`} />
  </div>
);

/** What the picture shows, in words. */
function labelOf(node: Node, tasks: Task[]): string {
  const looks = LOOKS.map((look) => [look, tasks.filter((each) => lookOf(each) === look).length] as const);
  const parts = looks.filter(([, number]) => number).map(([look, number]) => `${number} ${look}`);
  return `${visible(node.name)}, ${node.state}, ${parts.join(", ") || "no tasks"}`;
}
