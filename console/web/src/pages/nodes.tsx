import { useState } from "preact/hooks";
import { part, post } from "../api";
import { useStore } from "../feed/use-store";
import { isLive, lookOfNode, type Node } from "../feed/rows";
import type { Store } from "../feed/store";
import { Link, setQuery, useAddress } from "../router";
import { Age } from "../parts/age";
import { Action, CommandLine, Dot, Meter, Text } from "../parts/basics";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { byName, count, cpuText, fits, memoryText, shellWord } from "../text";
import { taskColumns } from "./service";
import { Usage } from "./usage";

export function Nodes() {
  const store = useStore("nodes", "tasks");
  const filter = useAddress().query.get("q") ?? "";
  const rows = [...store.nodes.values()]
    .filter((each) => fits([each.name, each.address, ...Object.entries(each.labels).flat()], filter))
    .sort(byName);
  return (
    <>
      <h1>Nodes</h1>
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <input type="search" aria-label="Filter by name, address or label" placeholder="Name, address or label" value={filter}
          onInput={(event) => setQuery({ q: event.currentTarget.value })} />
        <span class="quiet" role="status">{count(rows.length, "node")}</span>
      </form>
      <VirtualTable label="Nodes" rows={rows} columns={columns(store)} keyOf={(each) => each.id} empty="No node fits the filter." />
    </>
  );
}

const StateOf = ({ node }: { node: Node }) => (
  <span class="state">
    <Dot look={node.state !== "ready" ? lookOfNode(node) : node.problems.length ? "warning" : node.availability === "active" ? "running" : "stopping"} />
    {node.state}{node.availability === "active" ? "" : `, ${node.availability}`}
  </span>
);

const columns = (store: Store): Column<Node>[] => [
  { title: "Name", width: "2fr", cell: (each) => <Link to={`/nodes/${part(each.name)}`}><Text of={each.name} /></Link> },
  { title: "State", width: "10rem", cell: (each) => <StateOf node={each} /> },
  { title: "Tasks", width: "5rem", cell: (each) => store.onNode(each.id).sums.live },
  { title: "CPU", width: "10rem", cell: (each) => `${cpuText(store.onNode(each.id).sums.cpus)} of ${cpuText(each.cpus)}` },
  { title: "Memory", width: "12rem", cell: (each) => `${memoryText(store.onNode(each.id).sums.memory)} of ${memoryText(each.memory)}` },
  { title: "Address", width: "2fr", cell: (each) => each.address },
  { title: "Problems", width: "3fr", cell: (each) => <Text of={store.problemsOf(each).join("; ")} /> },
];

export function NodePage({ name }: { name: string }) {
  const all = useStore("nodes");
  const node = [...all.nodes.values()].find((each) => each.name === name || each.id === name);
  if (!node) return <><h1><Text of={name} /></h1><p>{all.complete ? "There is no such node." : "Loading…"}</p></>;
  return <Found key={node.id} id={node.id} />;
}

const AVAILABILITIES = ["active", "pause", "drain"] as const;
const TITLES = { active: "Activate", pause: "Pause", drain: "Drain" };

function Found({ id }: { id: string }) {
  const store = useStore(`node:${id}`, "services");
  const [ended, setEnded] = useState(false);
  const [measured, setMeasured] = useState(false);
  const node = store.nodes.get(id);
  if (!node) return <p>The node was removed.</p>;
  const { tasks, sums } = store.onNode(id);
  const rows = [...tasks.values()].filter((each) => ended || isLive(each)).sort((a, b) => b.since - a.since);
  return (
    <>
      <div class="title">
        <h1><Text of={node.name} /> <StateOf node={node} /></h1>
        <div class="buttons">
          {AVAILABILITIES.filter((each) => each !== node.availability).map((each) => (
            <Action key={each} line={`shoal node update --availability ${each} ${shellWord(node.name)}`} do={() => post(`/api/nodes/${part(id)}/availability`, { availability: each })}>{TITLES[each]}</Action>
          ))}
        </div>
      </div>
      <p class="quiet">
        {node.address}, {node.platform}, Shoal {node.version || "of an unknown version"}, {node.state} for <Age since={node.since} />
        {node.manager && ", a manager runs here"}
      </p>
      {!!store.problemsOf(node).length && (
        <ul class="problems">{store.problemsOf(node).map((each) => <li key={each}><Text of={each} /></li>)}</ul>
      )}
      <Meter label="CPU reserved" used={sums.cpus} total={node.cpus} text={`${cpuText(sums.cpus)} of ${cpuText(node.cpus)}`} />
      <Meter label="Memory reserved" used={sums.memory} total={node.memory}
        text={`${memoryText(sums.memory)} of ${memoryText(node.memory)}`} />
      <Labels node={node} />
      <p><button type="button" aria-expanded={measured} onClick={() => setMeasured(!measured)}>Usage</button></p>
      {measured && <Usage query={`node=${part(id)}`} line={<CommandLine line={`shoal stats --node ${shellWord(node.name)}`} />} />}
      <h2>{count(rows.length, "task")}</h2>
      <label class="above"><input type="checkbox" checked={ended} onChange={(event) => setEnded(event.currentTarget.checked)} /> With those that have ended</label>
      <VirtualTable label="Tasks" rows={rows} columns={taskColumns(store)} keyOf={(each) => each.id} empty="It has no tasks." />
    </>
  );
}

/** Labels, each of which can go, and a field for another. */
function Labels({ node }: { node: Node }) {
  const [text, setText] = useState("");
  const [key, value] = [text.split("=", 1)[0]!.trim(), text.slice(text.indexOf("=") + 1).trim()];
  const send = (labels: Record<string, string>): Promise<unknown> => post(`/api/nodes/${part(node.id)}/labels`, { labels });
  const without = (gone: string): Record<string, string> => Object.fromEntries(Object.entries(node.labels).filter(([each]) => each !== gone));
  return (
    <section class="labels" aria-label="Labels">
      <span class="quiet">Labels</span>
      {Object.entries(node.labels).map(([each, given]) => (
        <span key={each} class="chip">
          <Text of={`${each}=${given}`} />
          <Action label={`Remove label ${each}`} line={`shoal node update --label-rm ${shellWord(each)} ${shellWord(node.name)}`} do={() => send(without(each))}>×</Action>
        </span>
      ))}
      <input aria-label="New label" placeholder="KEY=VALUE" value={text} spellcheck={false} onInput={(event) => setText(event.currentTarget.value)} />
      <Action disabled={!key || !text.includes("=")} do={() => send({ ...node.labels, [key]: value }).then(() => setText(""))}>Add label</Action>
      {key && text.includes("=") && <CommandLine line={`shoal node update --label-add ${shellWord(`${key}=${value}`)} ${shellWord(node.name)}`} />}
    </section>
  );
}
