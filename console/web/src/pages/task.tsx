// One task: where it runs, why it ended, its log, and what else can be done with it.

import { useStore } from "../feed/use-store";
import { isLive } from "../feed/rows";
import { Link, useAddress } from "../router";
import { part } from "../api";
import { Age } from "../parts/age";
import { CommandLine, TaskState, Text } from "../parts/basics";
import { nodeName, taskName } from "../parts/names";
import { Files } from "../parts/files";
import { cpuText, memoryText, shellWord } from "../text";
import { Logs } from "./logs";
import { Usage } from "./usage";

const TABS = ["logs", "usage", "files"] as const;

export function TaskPage({ id }: { id: string }) {
  const store = useStore("tasks", "services", "nodes");
  const { query } = useAddress();
  const task = store.tasks.get(id);
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
