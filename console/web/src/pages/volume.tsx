// A volume: what it is, where its data is, and who uses it.

import { useCallback, useEffect, useState } from "preact/hooks";
import { get, part, post, textOf } from "../api";
import { useStore } from "../feed/use-store";
import { Action, CommandLine, ConfirmByName, Text } from "../parts/basics";
import { nodeName } from "../parts/names";
import { Facts, labelList, namesAsLinks, TasksOf } from "../parts/users";
import { MoveDialog } from "../parts/volume-move";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { Link, navigate } from "../router";
import { ageText, memoryText, shellWord } from "../text";

const AGAIN_MS = 3000;

interface Location {
  node_id?: string;
  hostname?: string;
  slot?: number;
  created_at_ms?: string;
  home?: boolean;
  mounted?: boolean;
  problem?: string;
  down?: boolean;
  used_bytes?: string;
}

interface Spec {
  name?: string;
  driver?: string;
  labels?: Record<string, string>;
  options?: Record<string, string>;
  stack?: string;
  size_bytes?: string;
  limit_bytes?: string;
  access_mode?: string;
  secrets?: { name?: string }[];
}

interface MoveStatus {
  slot?: number;
  state?: string;
  message?: string;
  from_node_id?: string;
  to_node_id?: string;
}

interface View {
  volume?: { meta?: { id?: string; created_at_ms?: string }; spec?: Spec; removing?: boolean; moves?: { slot?: number }[] };
  services: string[];
  containers: string[];
  locations?: Location[];
  /** Those in progress. */
  moves?: { status?: MoveStatus; from_hostname?: string; to_hostname?: string; percent?: number }[];
  status?: { capacity_bytes?: string; problem?: string; moves?: MoveStatus[] };
}

const keyOf = (each: Location): string => `${each.node_id ?? ""} ${each.slot ?? 0}`;

const ENDED = new Set(["DONE", "FAILED", "CANCELLED"]);

export function VolumePage({ name }: { name: string }) {
  const store = useStore("nodes");
  const [view, setView] = useState<View | null>(null), [problem, setProblem] = useState("");
  const [sizes, setSizes] = useState<Map<string, string | undefined> | null>(null), [asking, setAsking] = useState<"move" | "remove" | null>(null);
  const load = useCallback(async (): Promise<void> => {
    try {
      setView(await get<View>(`/api/volumes/${part(name)}`));
      setProblem("");
    } catch (error) {
      setProblem(textOf(error));
    }
  }, [name]);
  useEffect(() => {
    void load();
    const timer = setInterval(() => document.hidden || void load(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [load]);
  // Nodes are asked once, beside the rest: a slow one keeps nothing else waiting.
  useEffect(() => {
    get<View>(`/api/volumes/${part(name)}?sizes`).then((found) => setSizes(new Map((found.locations ?? []).map((each) => [keyOf(each), each.used_bytes]))), () => setSizes(new Map()));
  }, [name]);
  if (!view) return <><h1>Volume <Text of={name} /></h1>{problem ? <p role="alert" class="problem"><Text of={problem} /></p> : <p>Loading…</p>}</>;
  const spec = view.volume?.spec ?? {}, id = view.volume?.meta?.id ?? "", locations = view.locations ?? [], own = spec.name ?? name;
  // What mount options or a driver bring from elsewhere is not moved from here.
  const sources = (spec.driver || "local") === "local" && !Object.keys(spec.options ?? {}).length
    ? locations.filter((each) => each.home || each.slot).map((each) => ({ slot: each.slot ?? 0, node: each.node_id ?? "" }))
    : [];
  const moving = new Set((view.volume?.moves ?? []).map((each) => each.slot ?? 0));
  const perSlot = locations.some((each) => each.slot);
  const columns: Column<Location>[] = [
    { title: "Node", width: "2fr", cell: (each) => <Link to={`/nodes/${part(each.hostname ?? "")}`}><Text of={each.hostname ?? ""} /></Link> },
    ...(perSlot ? [{ title: "Slot", width: "4rem", cell: (each: Location) => each.slot ?? 0 }] : []),
    { title: "Copy", width: "7rem", cell: (each) => (each.down ? "node is down" : each.mounted ? "mounted" : each.home ? "home" : "") },
    { title: "Size", width: "7rem", cell: (each) => sizeText(sizes, each) },
    { title: "Age", width: "5rem", cell: (each) => ageText(Number(each.created_at_ms ?? 0)) },
    { title: "Problem", width: "3fr", cell: (each) => <Text of={each.problem ?? ""} /> },
  ];
  const options = Object.entries(spec.options ?? {});
  return (
    <>
      <div class="title">
        <h1>Volume <Text of={own} /></h1>
        <div class="buttons">
          {!!sources.length && <button type="button" onClick={() => setAsking("move")}>Move…</button>}
          <button type="button" class="dangerous" onClick={() => setAsking("remove")}>Remove…</button>
        </div>
      </div>
      {problem && <p role="alert" class="problem"><Text of={problem} /></p>}
      {view.volume?.removing && <p role="status">It is being removed: nodes delete its data.</p>}
      {view.status?.problem && <p class="problem"><Text of={view.status.problem} /></p>}
      {(view.moves ?? []).map((each) => (
        <p key={each.status?.slot ?? 0} role="status">
          Moves from <Text of={each.from_hostname ?? ""} /> to <Text of={each.to_hostname ?? ""} />: {(each.status?.state ?? "").toLowerCase()}, {each.percent ?? 0} %
          {each.status?.message && <>, <Text of={each.status.message} /></>}{" "}
          {moving.has(each.status?.slot ?? 0) && (
            <Action line={`shoal volume move --cancel${each.status?.slot ? ` --slot ${each.status.slot}` : ""} ${shellWord(own)}`}
              do={() => post(`/api/volumes/${part(id)}/cancel-move`, { slot: each.status?.slot ?? 0 }).then(load)}>Cancel the move</Action>
          )}
        </p>
      ))}
      {(view.status?.moves ?? []).filter((each) => ENDED.has(each.state ?? "") && !moving.has(each.slot ?? 0)).map((each) => (
        <p key={each.slot ?? 0} role="status" class={each.state === "FAILED" ? "problem" : "quiet"}>
          Last move{each.slot ? ` of slot ${each.slot}` : ""}, from <Text of={nodeName(store, each.from_node_id ?? "")} /> to <Text of={nodeName(store, each.to_node_id ?? "")} />: {(each.state ?? "").toLowerCase()}
          {each.message && <>, <Text of={each.message} /></>}
        </p>
      ))}
      <Facts facts={[
        ["Driver", <Text of={spec.driver || "local"} />],
        ["Options", !!options.length && <ul class="plain">{options.map(([key, value]) => <li key={key}><code><Text of={`${key}=${value}`} /></code></li>)}</ul>],
        ["Labels", labelList(spec.labels)],
        ["Stack", spec.stack && <Link to={`/stacks/${part(spec.stack)}`}><Text of={spec.stack} /></Link>],
        ["Size asked for", Number(spec.size_bytes ?? 0) > 0 && memoryText(Number(spec.size_bytes))],
        ["Largest size", Number(spec.limit_bytes ?? 0) > 0 && memoryText(Number(spec.limit_bytes))],
        ["Capacity", Number(view.status?.capacity_bytes ?? 0) > 0 && memoryText(Number(view.status?.capacity_bytes))],
        ["Access mode", spec.access_mode && spec.access_mode.toLowerCase().replaceAll("_", " ")],
        ["Secrets of the driver", !!spec.secrets?.length && namesAsLinks(spec.secrets.map((each) => each.name ?? ""), "secrets")],
        ["Created", `${ageText(Number(view.volume?.meta?.created_at_ms ?? 0))} ago`],
        ["Services", view.services.length ? namesAsLinks(view.services, "services") : !view.containers.length && "none"],
        ["Containers", !!view.containers.length && namesAsLinks(view.containers, "containers")],
        ["ID", <code>{id}</code>],
      ]} />
      <h2>Where its data is</h2>
      <VirtualTable label="Nodes with its data" rows={locations} columns={columns} keyOf={keyOf} empty="On no node yet: a node makes it when a task there uses it." />
      <h2>Tasks that use it</h2>
      <TasksOf services={view.services} containers={view.containers} />
      <CommandLine line={`shoal volume inspect ${shellWord(own)}`} />
      {asking === "move" && <MoveDialog id={id} name={own} sources={sources} done={load} close={() => setAsking(null)} />}
      {asking === "remove" && (
        <ConfirmByName title="Remove volume" name={own} close={() => setAsking(null)} line={`shoal volume rm ${shellWord(own)}`}
          consequence="Its data is deleted on all nodes."
          do={() => post(`/api/volumes/${part(id)}/remove`, { name: own }).then(() => navigate("/volumes"))} />
      )}
    </>
  );
}

function sizeText(sizes: Map<string, string | undefined> | null, each: Location): string {
  if (!sizes) return "…";
  const found = sizes.get(keyOf(each));
  return found === undefined ? "unknown" : memoryText(Number(found));
}
