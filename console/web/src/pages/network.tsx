// A network: who is on it, node by node.

import { useEffect, useState } from "preact/hooks";
import { get, part, textOf } from "../api";
import { CommandLine, Dot, Text } from "../parts/basics";
import { Link } from "../router";
import { count, shellWord } from "../text";

const AGAIN_MS = 3000, READY = 2;

interface Endpoint {
  task_id?: string;
  task_name?: string;
  node_hostname?: string;
  address?: string;
  address6?: string;
}

interface View {
  network?: { spec?: { name?: string; driver?: string; internal?: boolean } };
  allocation?: { subnet?: string; subnet6?: string };
  services?: string[];
  problem?: string;
  endpoints?: Endpoint[];
  nodes?: { hostname?: string; state?: number; up_to_date?: boolean }[];
}

export function NetworkPage({ name }: { name: string }) {
  const [view, setView] = useState<View | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const load = (): void => {
      get<View>(`/api/networks/${part(name)}`).then((found) => (setView(found), setProblem("")), (error: unknown) => setProblem(textOf(error)));
    };
    load();
    const timer = setInterval(() => document.hidden || load(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [name]);
  const endpoints = view?.endpoints ?? [], spec = view?.network?.spec;
  const nodes = new Map((view?.nodes ?? []).map((each) => [each.hostname ?? "", each]));
  const names = [...new Set([...nodes.keys(), ...endpoints.map((each) => each.node_hostname ?? "")])].sort();
  return (
    <>
      <h1>Network <Text of={name} /></h1>
      {problem && <p role="alert" class="problem"><Text of={problem} /></p>}
      {!view && !problem && <p>Loading…</p>}
      {view && (
        <>
          <p class="quiet">
            {spec?.driver || "overlay"}, {[view.allocation?.subnet, view.allocation?.subnet6].filter(Boolean).join(", ") || "no subnet yet"}
            {spec?.internal && ", no route out of it"}
          </p>
          {view.problem && <p class="problems"><Text of={view.problem} /></p>}
          {!!view.services?.length && (
            <p>Services: {view.services.map((each) => <span key={each} class="word"><Link to={`/services/${part(each)}`}><Text of={each} /></Link></span>)}</p>
          )}
          <h2>{count(endpoints.length, "task")} on {count(nodes.size, "node")}</h2>
          <div class="wire"><Text of={[name, view.allocation?.subnet, view.allocation?.subnet6].filter(Boolean).join(" · ")} /></div>
          <ul class="members wired" aria-label="Nodes on the network">
            {names.map((each) => (
              <li key={each} class="member">
                <div class="state">
                  <Dot look={nodes.get(each)?.state !== READY ? "failed" : nodes.get(each)?.up_to_date ? "running" : "starting"} />
                  <Link to={`/nodes/${part(each)}`}><Text of={each} /></Link>
                  {!nodes.get(each)?.up_to_date && <span class="quiet">not up to date</span>}
                </div>
                <ul>
                  {endpoints.filter((end) => end.node_hostname === each).map((end) => (
                    <li key={end.task_id}>
                      <Link to={`/tasks/${part(end.task_id ?? "")}`}><Text of={end.task_name ?? ""} /></Link>
                      <code>{[end.address, end.address6].filter(Boolean).join(" ")}</code>
                    </li>
                  ))}
                </ul>
              </li>
            ))}
          </ul>
          {!names.length && <p class="quiet">Nothing is on it.</p>}
        </>
      )}
      <CommandLine line={`shoal network inspect ${shellWord(name)}`} />
    </>
  );
}
