// One task: where it runs, why it ended, its log, and what else can be done with it.

import { useEffect, useState } from "preact/hooks";
import { get, part } from "../api";
import { useStore } from "../feed/use-store";
import { isLive, type Task } from "../feed/rows";
import { Link, useAddress } from "../router";
import { Age } from "../parts/age";
import { CommandLine, TaskState, Text } from "../parts/basics";
import { nodeName, taskName } from "../parts/names";
import { Files } from "../parts/files";
import { Ports, type HostPort } from "../parts/ports";
import { cpuText, memoryText, shellWord } from "../text";
import { Logs } from "./logs";
import { Usage } from "./usage";

const TABS = ["logs", "usage", "files"] as const;

interface Endpoints {
  addresses: { network: string; address: string }[];
  ports: HostPort[];
}

/** How a task is reached that has a node; nothing of one that has none, or has ended. */
function useEndpoints(task: Task | undefined): Endpoints {
  const [found, setFound] = useState<Endpoints>({ addresses: [], ports: [] });
  const id = task && isLive(task) ? task.id : "", node = task?.node ?? "";
  useEffect(() => {
    if (id && node) get<Endpoints>(`/api/nodes/${part(node)}/tasks/${part(id)}`).then(setFound, () => undefined);
    else setFound({ addresses: [], ports: [] });
  }, [id, node]);
  return found;
}

export function TaskPage({ id }: { id: string }) {
  const store = useStore("tasks", "services", "nodes");
  const { query } = useAddress();
  const task = store.tasks.get(id), { addresses, ports } = useEndpoints(task);
  if (!task) return <><h1>Task <Text of={id} /></h1><p>{store.complete ? "There is no such task; it may have been removed." : "Loading…"}</p></>;
  const tab = TABS.find((each) => each === query.get("tab")) ?? "logs", path = `/tasks/${part(id)}`;
  const own = store.containers.get(task.service), service = store.services.get(task.service), node = task.node && nodeName(store, task.node);
  return (
    <>
      <div class="title">
        <h1><Text of={taskName(store, task)} /> <TaskState task={task} /></h1>
        {task.state === "running" && <Link class="button" to={`/terminal/${part(id)}`}>Terminal</Link>}
      </div>
      <dl class="facts">
        {own && <><dt>Container</dt><dd><Link to={`/containers/${part(own.name)}`}><Text of={own.name} /></Link></dd></>}
        {service && <><dt>Service</dt><dd><Link to={`/services/${part(service.name)}`}><Text of={service.name} /></Link>, revision {task.revision}</dd></>}
        {node && <><dt>Node</dt><dd><Link to={`/nodes/${part(node)}`}><Text of={node} /></Link></dd></>}
        {!!ports.length && <><dt>Ports of the node</dt><dd class="ports"><Ports store={store} ports={ports} own={store.nodes.get(task.node)} /></dd></>}
        {!!addresses.length && (
          <><dt>Addresses</dt><dd>{addresses.map((each) => <span key={each.address} class="word"><Link to={`/networks/${part(each.network)}`}><Text of={each.network} /></Link> <code>{each.address}</code></span>)}</dd></>
        )}
        <dt>Since</dt><dd><Age since={task.since} /></dd>
        {task.message && <><dt>Why</dt><dd><Text of={task.message} /></dd></>}
        {task.exit !== null && <><dt>Exit code</dt><dd>{task.exit}</dd></>}
        {!!(task.cpus || task.memory) && <><dt>Reserved</dt><dd>{cpuText(task.cpus)}, {memoryText(task.memory)}</dd></>}
        <dt>ID</dt><dd><code>{id}</code></dd>
      </dl>
      <nav class="tabs" aria-label="Parts of the task">
        {TABS.filter((each) => each === "logs" || isLive(task)).map((each) => (
          <Link key={each} to={each === "logs" ? path : `${path}?tab=${each}`} current={each === tab}>
            {each[0]!.toUpperCase() + each.slice(1)}
          </Link>
        ))}
      </nav>
      {tab === "usage" && isLive(task)
        ? <Usage query={`target=${part(id)}`} line={<CommandLine line={`shoal stats ${shellWord(id)}`} />} />
        : tab === "files" && isLive(task) ? <Files container={id} address={path} /> : <Logs query={`target=${part(id)}`} line={`shoal service logs --follow ${shellWord(id)}`} />}
    </>
  );
}
